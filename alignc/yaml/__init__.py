"""Strict YAML 1.2 with the span of each key and value."""
