"""The examples' data: what the generator writes, true to its own arithmetic, and readable by the runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.settings import DataSettings

DATA = Path(__file__).parents[2] / "examples" / "data"
FILES = sorted(path.name for path in DATA.glob("*.jsonl"))
PAIR = ("chosen", "rejected")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def numbers(prompt: str) -> frozenset[int]:
    left, right = prompt.removesuffix("=").split("+")
    return frozenset((int(left), int(right)))


def answer(prompt: str) -> int:
    left, right = prompt.removesuffix("=").split("+")
    return int(left) + int(right)


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DATA / "make_data.py"), str(tmp_path)], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert all((tmp_path / name).read_bytes() == (DATA / name).read_bytes() for name in FILES)
    assert sum((DATA / name).stat().st_size for name in FILES) < 1_000_000


def test_held_out_problems_are_nowhere_else_in_either_order() -> None:
    held = {numbers(row["prompt"]) for name in FILES if "held_out" in name for row in rows(name)}
    seen = {numbers(row["prompt"]) for name in FILES if "held_out" not in name for row in rows(name)}
    assert len(rows("pairs_held_out.jsonl")) == 300
    assert not held & seen


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs_held_out.jsonl"])
def test_chosen_is_right_and_rejected_forgot_to_carry(name: str) -> None:
    for row in rows(name):
        right = answer(row["prompt"])
        assert (int(row["chosen"]), int(row["rejected"])) == (right, right - 10)


def test_demonstrations_come_from_both_teachers_in_equal_parts() -> None:
    errors = [answer(row["prompt"]) - int(row["completion"]) for row in rows("demonstrations.jsonl")]
    assert set(errors) == {0, 10}
    assert 0.47 < errors.count(0) / len(errors) < 0.53


def test_marks_and_scores_follow_the_answers() -> None:
    for row in rows("marks.jsonl"):
        right = int(row["completion"]) == answer(row["prompt"])
        assert (row["label"], row["reward"] == 1.0, row["win_rate"] == 0.75) == (right, right, right)
    for row in rows("scored.jsonl"):
        errors = [answer(row["prompt"]) - int(completion) for completion in row["completions"]]
        assert len(set(errors)) == 4
        expected = {0: (1.0, 1.0), 10: (0.25, round(2 / 3, 6))}
        wanted = [expected.get(error, (0.0, round(0.5 / 3, 6))) for error in errors]
        assert list(zip(row["rewards"], row["win_rates"], strict=True)) == wanted


@pytest.mark.parametrize(
    ("name", "kind", "responses", "needed"),
    [
        ("demonstrations.jsonl", "demonstrations", ("completion",), ()),
        ("pairs.jsonl", "pairwise", PAIR, ()),
        ("marks.jsonl", "pointwise", ("completion",), ("label", "reward", "win_rate")),
        ("scored.jsonl", "scored", ("completions",), ("reward/completions", "win_rate/completions")),
        ("scored.jsonl", "scored", PAIR, ()),
        ("prompts.jsonl", "prompts", (), ()),
    ],
)
def test_the_runtime_reads_each_kind(
    name: str, kind: str, responses: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    from transformers import ByT5Tokenizer

    settings = DataSettings(kind=kind, source=str(DATA / name), responses=responses, needed=needed)
    counts = load_examples(settings, ByT5Tokenizer()).counts
    assert counts.kept == len(rows(name)) >= 600
    assert counts.refused == counts.prompts_cut == counts.completions_cut == 0
