"""Specs that are wrong: every finding's code, place and words, from bad_specs.txt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignc.api import validate

CASES = Path(__file__).with_name("bad_specs.txt")
FINDING = re.compile(r"(?P<code>[EW]\d{3}) (?:(?P<file>\S+) )?(?P<line>\d+):(?P<column>\d+) (?P<words>.+)")


@dataclass(frozen=True)
class Case:
    """A spec, the files beside it, and what is expected: (code, file, line, column, words)."""

    name: str
    files: dict[str, str]
    expected: list[tuple[str, str, int, int, str]]


def cases() -> Iterator[Case]:
    for part in re.split(r"^=== ", CASES.read_text("utf-8"), flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        body, _, expected = rest.rpartition("--- ")
        files = dict(zip(["spec.yaml", *re.findall(r"^\+\+\+ (\S+)$", body, re.M)], texts(body), strict=True))
        yield Case(name, files, [finding(text) for text in expected.split(" | ")])


def texts(body: str) -> list[str]:
    return re.split(r"^\+\+\+ \S+\n", body, flags=re.M)


def finding(text: str) -> tuple[str, str, int, int, str]:
    found = FINDING.fullmatch(text.strip())
    assert found, text
    return (
        found["code"],
        found["file"] or "spec.yaml",
        int(found["line"]),
        int(found["column"]),
        found["words"],
    )


ALL = list(cases())


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_what_is_said(case: Case, tmp_path: Path) -> None:
    for name, text in case.files.items():
        (tmp_path / name).write_text(text, "utf-8")
    found = validate(tmp_path / "spec.yaml").diagnostics
    places = [(d.code, Path(d.span.file).name, d.span.line, d.span.column) for d in found]
    assert sorted(places) == sorted(e[:4] for e in case.expected)
    for code, _, line, column, words in case.expected:
        here = [d for d in found if (d.code, d.span.line, d.span.column) == (code, line, column)]
        assert any(words in f"{d.message} {d.help}" for d in here), [f"{d.message} {d.help}" for d in here]


def test_there_are_enough() -> None:
    assert len({case.name for case in ALL}) == len(ALL) >= 120
    assert {code for case in ALL for code, *_ in case.expected} >= {f"E00{n}" for n in range(1, 9)}
