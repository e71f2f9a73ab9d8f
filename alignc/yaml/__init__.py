"""Strict YAML 1.2 with the place of every key and value."""
