"""After training: export, evaluation of runs, comparison of models."""
