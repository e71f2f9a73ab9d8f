"""The emitted losses of a sampled source and of given ones, against the float64 evaluator and against single jobs."""

from __future__ import annotations

import json
import random
import types
from pathlib import Path
from typing import Any

import pytest

from alignc.api import Compiled, Mixture, built, lowered
from alignc.graph.evaluate import evaluate

from ..batches import Numbers, given, numbers, totals
from ..emitted import loss_module, tensors

ROWS = 6
SPLITS = ([[0, 1, 2, 3, 4, 5]], [[5], [1, 0, 3], [2, 4]])
JUDGE = {"reward": {"kind": "verifier", "name": "exact_number"}, "completions_per_prompt": 2}
DATA: dict[str, dict[str, Any]] = {
    "asked": {"kind": "prompts", "source": "x/y", **JUDGE},
    "pairs": {"kind": "pairwise", "source": "x/y"},
    "shown": {"kind": "demonstrations", "source": "x/y"},
}
GIVEN: dict[str, dict[str, Any]] = {"pairs": {"preset": "dpo", "beta": 0.3}, "shown": {"preset": "sft"}}
WEIGHTS = {"asked": 1.5, "pairs": 0.5, "shown": 0.25}


def spec(folder: Path, objective: Any, data: Any) -> Path:
    path = folder / "spec.yaml"
    model = {"policy": {"init": "llama", "tokenizer": "bytes"}}
    path.write_text(json.dumps({"objective": objective, "data": data, "model": model}), "utf-8")
    return path


def alone(folder: Path, term: dict[str, Any], name: str) -> Compiled:
    return lowered(spec(folder, {"terms": [term]}, DATA[name]), files=False)


def module_of(source: str) -> types.ModuleType:
    """Import an emitted loss from its text."""
    made = types.ModuleType("loss")
    exec(compile(source, "loss.py", "exec"), made.__dict__)
    return made


def value_of(module: types.ModuleType, drawn: Numbers, counted: Any, splits: list[list[int]]) -> float:
    """Add up the shares of micro-batches."""
    return sum(module.loss(tensors(drawn, places, 2), counted)[0].item() for places in splits)


@pytest.mark.parametrize("preset", ["grpo", "ppo", "online_dpo", "rloo"])
def test_the_loss_of_each_source_is_its_own(preset: str, tmp_path: Path) -> None:
    terms = {"asked": {"preset": preset}} | GIVEN
    listed = [{**term, "weight": WEIGHTS[name], "data": name} for name, term in terms.items()]
    path = spec(tmp_path, {"terms": listed}, {"sources": DATA})
    whole = built(path, files=False)
    assert isinstance(whole, Mixture)
    files, rng = whole.folder().files, random.Random(preset)
    for number, (name, part) in enumerate(whole.parts.items(), 1):
        module = module_of(files[f"loss_{number}.py"])
        single = alone(tmp_path, terms[name], name)
        drawn = numbers(rng, single, ROWS)
        counted = totals(drawn, part.needs.totals)
        known = given(drawn, part.loss.outputs)
        expected = float(evaluate(part.loss.root, known))
        assert expected == pytest.approx(
            WEIGHTS[name] * value_of(loss_module(single), drawn, counted, SPLITS[0]), rel=1e-12, abs=1e-12
        )
        for splits in SPLITS:
            assert value_of(module, drawn, counted, splits) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        _, logged = module.loss(tensors(drawn, SPLITS[0][0]), counted)
        assert list(logged) == list(part.needs.metrics)
        for metric in part.loss.metrics:
            wanted = float(evaluate(metric.value, known))
            assert logged[metric.name].item() == pytest.approx(wanted, rel=1e-10, abs=1e-12), metric.name
