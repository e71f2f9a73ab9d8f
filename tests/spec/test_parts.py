"""Several sources of rows: each term finds its own, the parts mean what specs of their own would, and all is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignc.api import Mixture, built, evaluate, explain, lowered, validate
from alignc.diagnostics import DiagnosticError

MARKS = "{kind: pointwise, source: a/marks}"
PAIRS = "{kind: pairwise, source: a/pairs}"
TERMS = "[{preset: dpo, beta: 0.3, data: pairs}, {preset: kto, weight: 0.5, data: marks}]"
MODEL = "model: {policy: {init: llama, tokenizer: bytes}}"
POINT = {
    "pairs": {
        "examples": [
            {
                "chosen": {"logp": -11.0, "ref_logp": -12.5, "length": 7},
                "rejected": {"logp": -9.0, "ref_logp": -8.0, "length": 4},
            }
        ]
    },
    "marks": {
        "examples": [{"completion": {"logp": -3.0, "ref_logp": -4.0, "length": 2}, "label": False}],
        "z0": 0.2,
    },
}


def spec(
    folder: Path, terms: str = TERMS, more: str = "", data: str | None = None, train: str = "{}"
) -> Path:
    path = folder / "spec.yaml"
    given = data or f"{{sources: {{pairs: {PAIRS}, marks: {MARKS}{more}}}}}"
    path.write_text(f"objective: {{terms: {terms}}}\ndata: {given}\ntrain: {train}\n{MODEL}\n", "utf-8")
    return path


def found(path: Path) -> list[tuple[str, int, int]]:
    return [(d.code, d.span.line, d.span.column) for d in validate(path).diagnostics]


@pytest.mark.parametrize(
    ("terms", "wanted"),
    [
        ("[{preset: dpo}, {preset: kto, data: marks}]", [("E006", 1, 21)]),
        ("[{preset: dpo, data: pears}, {preset: kto, data: marks}]", [("E002", 1, 41)]),
        ("[{preset: dpo, data: pairs}]", [("E112", 2, 60)]),
        ("[{preset: dpo, data: marks}, {preset: kto, data: pairs}]", [("E101", 2, 74)]),
        ("[{preset: dpo, dta: pairs}, {preset: kto, data: marks}]", [("E002", 1, 35)]),
        ("{a: {preset: dpo, data: pairs}, b: {preset: kto, data: mark}}", [("E002", 1, 75)]),
    ],
)
def test_terms_and_sources_find_each_other(tmp_path: Path, terms: str, wanted: list[Any]) -> None:
    assert found(spec(tmp_path, terms)) == wanted


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("{sources: {pairs: {kind: pairwise, sorce: x}}}", [("E002", 2, 42)]),
        ("{surces: {pairs: {kind: pairwise, source: a/b}}}", [("E002", 2, 8)]),
        ("{sources: {pairs: {kind: sources, source: a/b}}}", [("E003", 2, 32)]),
        ("{sources: {pairs: {kind: prompts, source: a/b}}}", [("E105", 2, 18), ("E103", 2, 25)]),
        ("{sources: {}}", [("E004", 2, 17)]),
        ("{sources: {Pairs: {kind: pairwise, source: a/b}}}", [("E004", 2, 25)]),
        ("{sources: {pairs: {kind: pairwise, source: no.jsonl}}}", [("E008", 2, 50)]),
        ("{kind: pairwise, source: a/b}", [("E002", 1, 41)]),
    ],
)
def test_each_source_is_checked_as_one_alone(tmp_path: Path, data: str, wanted: list[Any]) -> None:
    assert found(spec(tmp_path, "[{preset: dpo, data: pairs}]", data=data)) == wanted


def test_what_is_wrong_with_the_run_is_said_once(tmp_path: Path) -> None:
    assert found(spec(tmp_path, train="{max_steps: 0}")) == [("E004", 3, 20)]


def test_a_metric_of_any_source_may_be_the_best(tmp_path: Path) -> None:
    held_out = [s.replace("}", ", eval: {fraction: 0.1}}") for s in (PAIRS, MARKS)]
    data = f"{{sources: {{pairs: {held_out[0]}, marks: {held_out[1]}}}}}"
    for metric in ("source_2/loss", "rewards/margins", "rewards/chosen_2", "loss"):
        assert found(spec(tmp_path, data=data, train=f"{{metric_for_best_model: {metric}}}")) == []
    assert found(spec(tmp_path, data=data, train="{metric_for_best_model: nll_loss}")) == [("E003", 3, 32)]
    assert {c for c, *_ in found(spec(tmp_path, train="{metric_for_best_model: loss}"))} == {"E006"}


def test_a_likelihood_of_another_source_bounds_the_policy(tmp_path: Path) -> None:
    bare = "{name: p, kind: preference, score: {of: log_prob}, data: pairs}"
    shown = ", shown: {kind: demonstrations, source: a/b}"
    alone = spec(tmp_path, f"[{bare}, {{preset: kto, data: marks}}]")
    assert [c for c, *_ in found(alone)] == ["W406"]
    both = f"[{bare}, {{preset: kto, data: marks}}, {{preset: sft, data: shown}}]"
    assert found(spec(tmp_path, both, shown)) == []


def test_the_parts_are_numbered_together(tmp_path: Path) -> None:
    mixture = built(spec(tmp_path), files=False)
    assert isinstance(mixture, Mixture)
    symbols = [[p.symbol for p in loss.parameters] for loss in mixture.losses.values()]
    assert symbols[0] == ["β"]
    assert "β_2" in symbols[1]
    names = [m.name for loss in mixture.losses.values() for m in loss.metrics[1:]]
    assert len(names) == len(set(names))
    origins = {v.field: v.origin for e in mixture.explanation.sources.values() for v in e.values}
    assert origins["dpo.beta"].endswith("spec.yaml:1:41")
    assert origins["terms.1.weight"].endswith("spec.yaml:1:82")


def test_the_sum_at_a_point(tmp_path: Path) -> None:
    value = evaluate(spec(tmp_path), {"sources": POINT})
    one = spec(tmp_path, "[{preset: dpo, beta: 0.3}]", data=PAIRS)
    alone = evaluate(one, POINT["pairs"])
    other = evaluate(spec(tmp_path, "[{preset: kto}]", data=MARKS), POINT["marks"])
    assert value["loss"] == pytest.approx(alone["loss"] + 0.5 * other["loss"], abs=1e-15)
    assert value["sources"]["pairs"] == alone
    slope = value["sources"]["marks"]["examples"][0]["gradient"]["completion"]["logp"]
    assert slope == pytest.approx(other["examples"][0]["gradient"]["completion"]["logp"] / 2, abs=1e-15)


def test_a_reward_model_and_a_policy_are_two_jobs(tmp_path: Path) -> None:
    terms = "[{preset: reward_model, data: pairs}, {preset: kto, data: marks}]"
    assert found(spec(tmp_path, terms)) == [("E113", 2, 18)]


def test_several_sources_replace_the_one_below(tmp_path: Path) -> None:
    spec(tmp_path, "[{preset: dpo}]", data=PAIRS).rename(tmp_path / "base.yaml")
    over = spec(tmp_path)
    over.write_text(f"extends: base.yaml\n{over.read_text()}")
    assert found(over) == []


def test_one_source_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as refused:
        lowered(spec(tmp_path), files=False)
    assert [d.code for d in refused.value.diagnostics] == ["E113"]


def test_the_job_folder(tmp_path: Path) -> None:
    """A source's loss is the one of a spec of its own, but for numbered names."""
    files = built(spec(tmp_path), files=False).folder().files
    alone = built(spec(tmp_path, "[{preset: dpo, beta: 0.3}]", data=PAIRS), files=False).folder().files
    assert {"loss.py", "loss_1.py", "loss_2.py"} <= files.keys()
    assert body(files["loss_1.py"]).replace('            "loss/preference": share.detach(),\n', "") == body(
        alone["loss.py"]
    )
    plan = json.loads(files["job.json"])["plan"]
    assert [part["responses"] for part in plan["parts"]] == [
        ["chosen", "rejected"],
        ["completion", "mismatched"],
    ]
    assert "pairs" not in files["loss.py"] + files["loss_1.py"] + files["train.py"]
    assert files == built(spec(tmp_path), files=False).folder().files
    for name in ("train.py", "loss.py", "loss_1.py", "loss_2.py"):
        compile(files[name], name, "exec")
    assert explain(spec(tmp_path)).formula == "L = L₁ + L₂"


def body(source: str) -> str:
    return source[source.index("def loss(") :]
