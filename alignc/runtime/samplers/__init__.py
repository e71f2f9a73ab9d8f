"""Samplers: responses that a policy gives to prompts."""
