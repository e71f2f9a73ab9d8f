"""Training: a job's run, its checkpoints, guards, evaluation and metrics."""
