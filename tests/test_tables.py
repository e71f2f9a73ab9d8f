"""The tables: each key stands in its table alone, and every interpreter knows every row."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import alignc
from alignc.contract.engines import ENGINES
from alignc.contract.failure import Failure
from alignc.contract.samplers import SAMPLERS
from alignc.contract.tables import row_of
from alignc.runtime.engines.engine import BUILDERS
from alignc.runtime.samplers.sampler import OPENERS

PACKAGE = Path(alignc.__file__).parent
TEMPLATES = PACKAGE.parent / "templates"


@dataclass(frozen=True)
class Table:
    """The keys of a table and the files of `alignc/` that may spell them.

    A key in `words` is an ordinary word, or the name of a package: other files may hold it, but may not compare a
    value with it, match it or look it up.
    """

    keys: Collection[str]
    homes: tuple[str, ...]
    words: Collection[str] = ()


TABLES = {
    "samplers": Table(SAMPLERS, ("contract/samplers.py",), words=SAMPLERS),
    "engines": Table(ENGINES, ("contract/engines.py",), words=ENGINES),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def spelt(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every text of a module that is no docstring, with its line."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    prose = {
        id(node.value)
        for body in (b.body for b in ast.walk(tree) if isinstance(b, documented))
        for node in body
        if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value, node.lineno


def decided(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every text that a module decides by: what it compares with, by itself or among others, or matches."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = (left, *others)
            case ast.MatchValue(value=value):
                sides = (value,)
            case _:
                continue
        for side in sides:
            several = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
            yield from (
                (e.value, e.lineno)
                for e in several
                if isinstance(e, ast.Constant) and isinstance(e.value, str)
            )


def misplaced(table: Table, path: Path) -> Iterator[str]:
    """Yield the keys of a table that a module spells although it is no home of the table."""
    place = path.relative_to(PACKAGE).as_posix()
    if place in table.homes:
        return
    tree = ast.parse(path.read_text("utf-8"))
    rare = set(table.keys) - set(table.words)
    for key, line in (
        *((k, n) for k, n in spelt(tree) if k in rare),
        *((k, n) for k, n in decided(tree) if k in table.words),
    ):
        yield f"{place}:{line}: {key}"


@pytest.mark.parametrize("name", TABLES)
def test_the_keys_of_a_table_stand_in_the_table_alone(name: str) -> None:
    assert [found for path in MODULES for found in misplaced(TABLES[name], path)] == []


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_no_template_decides_by_a_key(template: Path) -> None:
    logic = "\n".join(re.findall(r"\{[%{].*?[%}]\}", template.read_text("utf-8")))
    told = set(re.findall(r"[\"']([^\"']*)[\"']", logic))
    assert {name for name, table in TABLES.items() if told & set(table.keys)} == set()


def test_a_key_in_the_wrong_file_is_found(tmp_path: Path) -> None:
    tree = ast.parse('"""deepspeed"""\nif engine == "deepspeed":\n    name = "accelerate"\n')
    assert list(decided(tree)) == [("deepspeed", 2)]
    assert [key for key, _ in spelt(tree)] == ["deepspeed", "accelerate"]


def test_a_key_without_a_row_is_refused() -> None:
    with pytest.raises(
        Failure, match=r"E806: this runtime does not know the engine `fsdp`; it knows accelerate"
    ):
        row_of(ENGINES, "fsdp", "engine")


@pytest.mark.parametrize(
    ("table", "interpreter"),
    [(SAMPLERS, OPENERS), (ENGINES, BUILDERS)],
    ids=["samplers", "engines"],
)
def test_the_runtime_knows_every_row(table: Collection[str], interpreter: Collection[str]) -> None:
    assert set(interpreter) == set(table)
