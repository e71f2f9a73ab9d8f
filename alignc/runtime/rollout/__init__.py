"""Rollouts: the answers of a policy to prompts, sampled, scored, weighed and written down."""
