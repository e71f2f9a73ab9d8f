"""The generator reaches all of the schema, draws what the schema accepts, and the same spec from the same seed."""

from __future__ import annotations

from pathlib import Path

from alignc.diagnostics import DiagnosticError
from alignc.load.load import load

from .generator import draw, universe

MANY = 3000


def test_every_kind_and_axis_is_drawn() -> None:
    """A new term, link, baseline, reward or preset is drawn without a change of the generator."""
    seen = {key for seed in range(MANY) for key in draw(seed).seen}
    assert not sorted(universe() - seen)


def test_specs_are_legal(tmp_path: Path) -> None:
    """The schema takes nearly every draw; the rest are changes of presets that forbid each other."""
    path, refused = tmp_path / "spec.yaml", []
    for seed in range(300):
        path.write_text(draw(seed).text, encoding="utf-8")
        try:
            load(path)
        except DiagnosticError as error:
            refused += [(seed, d.code, d.message) for d in error.diagnostics]
    assert len(refused) <= 3, refused


def test_a_seed_is_a_spec() -> None:
    assert draw(7).text == draw(7).text != draw(8).text
