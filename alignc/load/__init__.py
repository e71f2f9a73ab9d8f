"""From text to a typed Job: files, overrides, presets, paths, and the origin of every value."""
