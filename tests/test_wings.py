"""The wings of the runtime: each may import those before it in this list, and none of those after it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import alignc

RUNTIME = Path(alignc.__file__).parent / "runtime"
WINGS = (
    "base",
    "kernels",
    "models",
    "ranks",
    "data",
    "engines",
    "scoring",
    "samplers",
    "reward",
    "rollout",
    "train",
    "after",
)
MODULES = sorted(p for p in RUNTIME.rglob("*.py") if p.parent != RUNTIME)


def name_of(path: Path) -> str:
    return path.relative_to(RUNTIME).as_posix()


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules of the runtime that a file imports, as parts below `runtime`."""
    package = path.relative_to(RUNTIME).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            above = package[: len(package) - node.level + 1]
            found = (*above, *(node.module or "").split(".")) if node.module else above
            yield from [found] if found else [(alias.name,) for alias in node.names]


def test_every_module_stands_in_a_wing() -> None:
    assert {p.name for p in RUNTIME.glob("*.py")} == {"__init__.py"}
    assert {p.relative_to(RUNTIME).parts[0] for p in MODULES} == set(WINGS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_wing_imports_one_that_comes_after_it(path: Path) -> None:
    own = WINGS.index(path.relative_to(RUNTIME).parts[0])
    for parts in imported(path):
        assert WINGS.index(parts[0]) <= own, ".".join(parts)
