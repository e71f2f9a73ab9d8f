"""Rollouts: what a policy says to prompts, sampled, and written down."""
