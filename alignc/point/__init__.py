"""A loss at a point: examples given as numbers, evaluated in float64."""
