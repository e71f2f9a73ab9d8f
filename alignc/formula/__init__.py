"""Formulas in a spec: a whitelist of arithmetic."""
