"""The ground of the runtime: files, seeds, signals, and the console."""
