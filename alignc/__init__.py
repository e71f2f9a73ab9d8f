"""alignc: a declarative compiler for alignment training."""

__version__ = "0.1.0"
