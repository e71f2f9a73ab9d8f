"""How a graph reads: plain text and torch source, one module each."""
