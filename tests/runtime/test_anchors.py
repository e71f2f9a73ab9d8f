"""Anchors that are models of their own: scored once, each by itself, and found again when a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from alignc.contract.job import read_job
from alignc.launch.inputs import digests
from alignc.load.load import load
from alignc.load.local import model_folders
from alignc.runtime.data.tokenizer import load_tokenizer
from alignc.runtime.models.load import initial_model

from .compiled import log_probabilities, metrics, spec_file, state, sums, train_script, write_rows
from .forks import Forks

PLAIN = {"max_grad_norm": 0, "save_steps": 1, "save_total_limit": 9, "per_device_train_batch_size": 6}


def written(folder: Path, seed: int) -> Path:
    """Write a model like the policy, of other weights."""
    rows = write_rows(folder / "rows.jsonl", "pairwise", 1)
    script = train_script(folder, {"preset": "sft"}, "demonstrations", rows, train={"seed": seed})
    read = read_job(script.with_name("job.json"))
    torch.manual_seed(seed)
    model: Any = initial_model(read, load_tokenizer(read.spec.model, None))
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    model.save_pretrained(folder / "model")
    return folder / "model"


def terms(*anchors: Path) -> dict[str, Any]:
    """A preference to the reference, and one to each of the anchors."""
    plain = {"kind": "preference", "link": {"kind": "logistic"}}
    scores = [{"beta": 0.5}, *({"beta": 0.25, "anchor": str(anchor)} for anchor in anchors)]
    return {"terms": [{**plain, "name": f"t{i}", "score": score} for i, score in enumerate(scores)]}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return [written(tmp_path / "a", 3), written(tmp_path / "b", 4)]


def test_each_term_takes_its_ratio_to_its_own_anchor(forks: Forks, tmp_path: Path, two: list[Path]):
    rows = write_rows(tmp_path / "rows.jsonl", "pairwise", 6)
    script = train_script(
        tmp_path / "whole", terms(*two), "pairwise", rows, train=PLAIN | {"num_train_epochs": 2}
    )
    assert json.loads(script.with_name("job.json").read_text())["plan"]["others"] == {
        "other": str(two[0]),
        "other2": str(two[1]),
    }
    assert forks.run(script, cache=tmp_path / "cache")["status"] == 0
    first = metrics(script)[0]
    examples, _, start = log_probabilities(script, 1)
    assert first["rewards/margins"] == 0.0
    for number, path in ((2, two[0]), (3, two[1])):
        other = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
        with torch.no_grad():
            known = [sums(other, row) for row in examples]
        chosen = [0.25 * (own[0] - kept[0]) for own, kept in zip(start, known, strict=True)]
        assert first[f"rewards/chosen_{number}"] == pytest.approx(sum(chosen) / len(chosen), rel=1e-5)
        assert abs(first[f"rewards/chosen_{number}"]) > 1e-4
    assert len(state(script, 1)["reference"].split()) == 3

    again = train_script(
        tmp_path / "again", terms(*two), "pairwise", rows, train=PLAIN | {"num_train_epochs": 2}
    )
    assert forks.run(again, "--max-steps", "1", cache=tmp_path / "cache")["status"] == 0
    assert (
        forks.run(again, "--resume", cache=tmp_path / "empty")["status"] == 0
    )  # the cache is lost: made anew
    assert metrics(again)[-1] == metrics(script)[-1]


def test_what_a_run_reads_of_it_is_told_by_content(tmp_path: Path, two: list[Path]):
    rows = write_rows(tmp_path / "rows.jsonl", "pairwise", 1)
    spec = spec_file(tmp_path / "own", terms(two[0]), "pairwise", rows)
    data = load(spec).job.model_dump()
    assert model_folders(data)["objective.terms.1.score.anchor"] == str(two[0])
    before = digests(data)["objective.terms.1.score.anchor"]
    (two[0] / "config.json").write_text("{}")
    assert digests(data)["objective.terms.1.score.anchor"] != before
