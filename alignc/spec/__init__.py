"""What a user writes: YAML with positions, typed sections, presets, overrides, the origin of every value."""
