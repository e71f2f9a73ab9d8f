"""alignc: a declarative compiler for alignment training.

The functions mirror the commands: `load`, `validate`, `explain`, `evaluate`, `compile`, `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignc.api import compile, evaluate, explain, load, run, validate  # noqa: A004

__all__ = ["__version__", "compile", "evaluate", "explain", "load", "run", "validate"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the compiler when it is first asked for: a running job imports the runtime alone."""
    if name in __all__:
        from alignc import api

        return getattr(api, name)
    raise AttributeError(f"module 'alignc' has no attribute {name!r}")
