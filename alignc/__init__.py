"""alignc: a declarative compiler for alignment training.

The functions mirror the commands: `load`, `validate`, `explain`, `evaluate`, `plan`, `compile`, `diff`, `verify`,
`run`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignc.api import compile, diff, evaluate, explain, load, plan, run, validate, verify  # noqa: A004

__all__ = [
    "__version__",
    "compile",
    "diff",
    "evaluate",
    "explain",
    "load",
    "plan",
    "run",
    "validate",
    "verify",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the compiler when it is first asked for: a running job imports the runtime alone."""
    if name in __all__:
        from alignc import api

        return getattr(api, name)
    raise AttributeError(f"module 'alignc' has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps a function its name where a package of the compiler has the same one: `alignc.explain`, `alignc.diff`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
