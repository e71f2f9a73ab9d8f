"""The meaning of KL estimators: the divergence that an estimator descends, decided by symbolic algebra."""
