"""The ground of the runtime: failures, files, seeds, signals, and the job that is read."""
