"""What a spec means: the typed loss graph, its gradient and its value."""
