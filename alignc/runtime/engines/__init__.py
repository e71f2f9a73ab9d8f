"""Engines: optimizer and gradient accumulation, on one process, DDP or DeepSpeed."""
