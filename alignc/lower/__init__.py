"""Lower: from a typed Job to the graph of its loss."""
