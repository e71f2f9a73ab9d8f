"""What a spec may hold: JSON Schema, the description of fields, a first spec, alignc.toml."""
