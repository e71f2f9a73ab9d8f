"""Every single-letter misspelling of every key is one E002 at its place, nearly always with the word meant."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from alignc.api import validate

from .misspelling import Misspelling, edits, misspellings

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDE = Path(__file__).parent / "wide"
SPECS = [*sorted(EXAMPLES.glob("*.yaml")), *sorted(WIDE.glob("*.yaml"))]


@cache
def drawn() -> dict[str, list[Misspelling]]:
    """Collect the misspellings by spec, all of an example's, a third of the wide ones'.

    A key that an earlier spec has at the same place is tried once.
    """
    seen: set[tuple[object, ...]] = set()
    found: dict[str, list[Misspelling]] = {}
    for spec in SPECS:
        every = list(misspellings(spec))
        fresh = [m for m in (every if spec.parent == EXAMPLES else every[::3]) if m.place not in seen]
        seen |= {m.place for m in fresh}
        found[spec.name] = fresh
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the specs and what they name, so that a misspelt one stands among its neighbours."""
    folder = tmp_path_factory.mktemp("specs")
    for spec in SPECS:
        shutil.copy(spec, folder)
    for name in ("data", "presets"):
        (folder / name).symlink_to(EXAMPLES / name)
    return folder


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.name)
def test_the_spec_itself_is_sound(spec: Path) -> None:
    assert validate(spec).diagnostics == ()


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_one_finding_at_the_key(name: str, folder: Path) -> None:
    misspelt = folder / "misspelt.yaml"
    cases = drawn()[name]
    suggested = 0
    for case in cases:
        misspelt.write_text(case.text, "utf-8")
        found = validate(misspelt).diagnostics
        places = [(d.code, Path(d.span.file).name, d.span.line, d.span.column) for d in found]
        assert places == [("E002", "misspelt.yaml", case.line, case.column)], (case.meant, case.written)
        suggested += f"did you mean `{case.meant}`?" in str(found[0].help)
    assert suggested >= 0.95 * len(cases)


def test_many_are_drawn() -> None:
    count = sum(map(len, drawn().values()))
    assert count > 2000
    assert len({case.meant for cases in drawn().values() for case in cases}) > 60


def test_the_edits_of_a_word() -> None:
    found = set(edits("on", "seed"))
    assert {"n", "o", "oon", "onn", "no"} <= found
    assert len(found) == 7  # and a replacement of either letter
