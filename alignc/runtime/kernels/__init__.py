"""Attention over packed rows, and what is computed of logits tile by tile."""
