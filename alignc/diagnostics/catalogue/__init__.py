"""The texts of the codes, a module a group."""
