"""The graph of a loss: nodes with axis and unit, built, rewritten, evaluated and differentiated. It knows no spec."""
