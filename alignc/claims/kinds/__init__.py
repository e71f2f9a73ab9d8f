"""The kinds of claims, beside those of `alignc.claims.model` that every objective has."""
