"""From rows to log-probabilities: layout, scorer, anchors, statistics of a batch."""
