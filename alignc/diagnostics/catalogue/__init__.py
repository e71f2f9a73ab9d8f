"""The texts of the codes, one module for each group."""
