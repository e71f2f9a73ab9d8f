"""Mutated specs: whatever stands in them, validation reports and lowering raises diagnostics, nothing else."""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from alignc.api import lowered, validate
from alignc.diagnostics import DiagnosticError
from alignc.yaml.source import parse_source

ROOT = Path(__file__).parents[2]
SPECS = [
    *sorted((ROOT / "examples").glob("*.yaml")),
    *sorted((Path(__file__).parent / "wide").glob("*.yaml")),
]
PARTS, EACH = 8, 250
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 7, 2.5, 1e308, -1e-300, 10**30, float("nan"), float("inf"), "", "x", "dpo",
    "pairwise", "=1/0", "=beta", "a.yaml", "/", "..", "~", "bytes", "\0", "é" * 50, "x" * 900, "x/" * 450,
    "\ud800", "y" * 9000, [], [[]], [None], {}, {"": {}},
    {"kind": "none"}, {"kind": "preference"}, {"run": "."}, {"init": "llama"}, {"preset": "sft"},
    [{"name": "a"}], {"kind": ["x"]}, {"kind": None}, [1, "x", {}],
]  # fmt: skip
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    " ",
    "\n",
    "- ",
    "'",
    '"',
    "#",
    "&a",
    "*a",
    "!!",
    "|",
    ">",
    "?",
    "%",
    "\t",
]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for step, inner in items for p in paths(inner, (*path, step)))]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def changed_value(data: Any, chance: random.Random) -> Any:
    """Replace, delete, rename or transplant one node."""
    data = deepcopy(data)
    every = paths(data)[1:]
    if not every:
        return data
    path = chance.choice(every)
    parent, step = at(data, path[:-1]), path[-1]
    match chance.randrange(5):
        case 0:
            del parent[step]
        case 1 if isinstance(parent, dict):
            parent[str(chance.choice(every)[-1])] = parent.pop(step)
        case 2:
            parent[step] = deepcopy(at(data, chance.choice(every)))
        case _:
            parent[step] = deepcopy(chance.choice(VALUES))
    return data


def as_yaml(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=True)
    return re.sub(r"(?<![\w\"])-?(NaN|Infinity)", lambda m: ".nan" if "N" in m[0] else ".inf", text)


def changed_text(text: str, chance: random.Random) -> str:
    """Drop, double, insert or swap tokens."""
    tokens = re.findall(r"\w+|\s+|.", text)
    for _ in range(chance.randint(1, 3)):
        i = chance.randrange(len(tokens))
        match chance.randrange(4):
            case 0:
                tokens[i : i + chance.randint(1, 4)] = []
            case 1:
                tokens.insert(i, tokens[i])
            case 2:
                tokens.insert(i, chance.choice(TOKENS))
            case _:
                j = chance.randrange(len(tokens))
                tokens[i], tokens[j] = tokens[j], tokens[i]
        tokens = tokens or [" "]
    return "".join(tokens)


def mutant(seed: int) -> str:
    chance = random.Random(seed)
    text = chance.choice(SPECS).read_text("utf-8")
    if chance.random() < 0.3:
        return changed_text(text, chance)
    data: Any = parse_source(text, "spec").data
    for _ in range(chance.randint(1, 3)):
        data = changed_value(data, chance)
    return as_yaml(data)


@pytest.mark.parametrize("part", range(PARTS))
def test_only_diagnostics(part: int, tmp_path: Path) -> None:
    for spec in SPECS:
        (tmp_path / spec.name).write_text(spec.read_text("utf-8"), "utf-8")
    target, outcomes = tmp_path / "mutant.yaml", set()
    for seed in range(part * EACH, (part + 1) * EACH):
        target.write_text(mutant(seed), "utf-8")
        report = validate(target)
        try:
            lowered(target, files=False)
            outcomes.add("lowered")
        except DiagnosticError as error:
            outcomes |= {d.code for d in error.diagnostics}
            assert not report.sound
    assert {"lowered", "E001", "E002", "E003", "E006"} <= outcomes
