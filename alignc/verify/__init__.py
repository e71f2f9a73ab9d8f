"""Does a loss do what its spec says: exact tests on a small policy."""
