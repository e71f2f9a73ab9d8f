"""What an estimator means: the divergence it descends, decided by symbols."""
