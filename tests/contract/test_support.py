"""The table of what goes with what: the compiler and the job refuse the same cells, and the rest starts."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from alignc.api import validate
from alignc.contract.failure import Failure
from alignc.contract.support import ABSENT, AXES, REFUSALS, Cell, cells_of, limits, refused, require_supported
from alignc.load.load import load

JUDGE = {"kind": "verifier", "name": "exact_number"}
OBJECTIVES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "pairwise": ("dpo", {}),
    "pointwise": ("kto", {}),
    "demonstrations": ("sft", {}),
    "scored": ("copg", {}),
    "prompts": ("grpo", {"reward": JUDGE, "completions_per_prompt": 2}),
    "self_play": ("sppo", {"oracle": JUDGE, "completions_per_prompt": 2}),
}
ADAPTERS: Mapping[str, dict[str, Any]] = {
    "none": {},
    "lora": {"adapter": {"kind": "lora"}},
    "lora_out_of_base": {"adapter": {"kind": "lora", "init_lora_weights": "pissa"}},
}
MODEL_TELLS = {"architecture"}
"""What only a loaded model tells: no spec does."""
DRAWN = 160


def spec_of(cell: Cell) -> dict[str, Any]:
    """Write the spec of a cell."""
    preset, more = OBJECTIVES[cell["data"]]
    data: dict[str, Any] = {"kind": cell["data"], "source": "x/y", **more}
    if cell["sampler"] != "none":
        data |= {"sampler": cell["sampler"], "opponent": {"kind": cell["opponent"]}}
        data |= {"temperature": 1.0 if cell["temperature"] == "usual" else 5.0}
        data |= {"min_p": 0.1, "top_p": 0.9} if cell["truncation"] == "min_p_and_top_p" else {}
    launch: dict[str, Any] = {
        "engine": cell["engine"],
        "num_processes": 2 if cell["processes"] == "several" else 1,
    }
    if cell["engine"] == "deepspeed":
        launch |= {"zero_stage": int(cell["zero_stage"])}
        launch |= {"offload": "cpu"} if cell["offload"] == "cpu" else {}
    launch |= {} if cell["precision"] == "auto" else {"mixed_precision": cell["precision"]}
    model: dict[str, Any] = {
        "policy": "x/y" if cell["policy"] == "given" else {"init": "llama", "tokenizer": "bytes"}
    }
    model |= {} if cell["quantization"] == "none" else {"quantization": {"bits": int(cell["quantization"])}}
    if cell["reference"] != "derived":
        path = {"path": "a/b"} if cell["reference"] == "path" else {}
        model["reference"] = {"kind": cell["reference"], **path}
    model |= ADAPTERS[cell["adapter"]]
    model |= {} if cell["weights"] == "auto" else {"dtype": cell["weights"]}
    train = {"layout": cell["layout"], "optim": cell["optimizer"]}
    return {"objective": {"preset": preset}, "model": model, "data": data, "train": train, "launch": launch}


def drawn(seed: int, **fixed: tuple[str, ...]) -> Iterator[Cell]:
    """Draw cells that a spec can express, without end: sampling belongs to online data, ZeRO to DeepSpeed.

    `fixed` limits the values of some axes.
    """
    chance = random.Random(seed)
    while True:
        cell = {
            axis: chance.choice(fixed.get(axis, values))
            for axis, values in AXES.items()
            if axis not in MODEL_TELLS
        }
        online = cell["data"] in ("prompts", "self_play")
        sampling = {cell[axis] for axis in ("sampler", "opponent", "temperature", "truncation")}
        deepspeed = cell["engine"] == "deepspeed"
        if ("none" in sampling) == online or (not online and sampling != {"none"}):
            continue
        if deepspeed == (cell["zero_stage"] == "none") or (not deepspeed and cell["offload"] != "none"):
            continue
        yield cell


def file_of(cell: Cell, folder: Path) -> Path:
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec_of(cell), indent=1), encoding="utf-8")
    return path


def said(cell: Cell) -> set[tuple[str, str]]:
    return {(row.code, row.said(**cell)) for row in refused(cell)}


def possible(cell: Cell) -> set[str]:
    """List what any row could say of a cell, whether it matches or not."""
    return {row.said(**cell) for row in REFUSALS if not set(row.when) & MODEL_TELLS}


def test_the_cells_are_those_that_specs_make(tmp_path: Path) -> None:
    for cell in itertools.islice((c for c in drawn(3) if not refused(c)), 12):
        job = load(file_of(cell, tmp_path)).job.model_dump()
        assert list(cells_of(job)) == [(None, cell)]


@pytest.mark.parametrize("seed", range(4))
def test_validate_says_what_the_table_says(seed: int, tmp_path: Path) -> None:
    for cell in itertools.islice(drawn(seed), DRAWN // 4):
        found = validate(file_of(cell, tmp_path)).diagnostics
        assert {(d.code, d.message) for d in found if d.message in possible(cell)} == said(cell), cell


@pytest.mark.parametrize("row", [r for r in REFUSALS if not set(r.when) & MODEL_TELLS], ids=lambda r: r.name)
def test_each_row_is_told_at_the_line_of_the_spec(row: Any, tmp_path: Path) -> None:
    cell = next(c for c in drawn(5, **row.when) if row in refused(c))
    path = file_of(cell, tmp_path)
    [found] = [d for d in validate(path).diagnostics if d.message == row.said(**cell)]
    line = path.read_text("utf-8").splitlines()[found.span.line - 1]
    assert found.code == row.code
    assert found.help == row.help
    assert f'"{row.path[-1]}"' in line


def test_the_job_refuses_what_validate_refuses() -> None:
    """`job.json` holds the spec as plain data: the job reads the cell from it, and stops with the same words."""
    cells = list(itertools.islice(drawn(7), 400))
    assert any(map(refused, cells))
    for cell in cells:
        spec = plain(cell)
        if not refused(cell):
            require_supported(spec)
            continue
        with pytest.raises(Failure) as stopped:
            require_supported(spec)
        assert (stopped.value.code, stopped.value.message) in said(cell)


def plain(cell: Cell) -> dict[str, Any]:
    """Fill in what a spec leaves open, as `job.json` has it."""
    spec = spec_of(cell)
    launch = {"num_machines": 1, "zero_stage": 2, "offload": None, "mixed_precision": None, **spec["launch"]}
    model = {"reference": None, "adapter": None, "dtype": None, **spec["model"]}
    data = {"opponent": None, "min_p": 0.0, "top_p": 1.0, **spec["data"]}
    return {**spec, "launch": launch, "model": model, "data": data}


@pytest.mark.parametrize(("field", "value"), ABSENT)
def test_values_of_other_tools_are_answered_with_a_reason(field: str, value: str, tmp_path: Path) -> None:
    section, name = field.split(".")
    spec = spec_of(next(drawn(0, optimizer=("sgd",), engine=("accelerate",), precision=("auto",))))
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({**spec, section: {**spec[section], name: value}}, indent=1), "utf-8")
    [found] = [d for d in validate(path).diagnostics if d.severity == "error"]
    assert (found.code, found.why, found.help) == ("E003", *ABSENT[field, value])
    assert value in path.read_text("utf-8").splitlines()[found.span.line - 1]


def test_the_help_of_a_field_says_its_limits() -> None:
    assert "given rows" in limits("launch.zero_stage")
    assert not limits("launch.timeout")


def test_rows_read_axes_and_values_that_there_are() -> None:
    assert len({row.name for row in REFUSALS}) == len(REFUSALS)
    for row in REFUSALS:
        for axis, values in row.when.items():
            assert set(values) <= set(AXES[axis]), row.name
