"""Kinds of objectives at which a command once crashed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.api import built, lowered, validate
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph.build import constant, power, subtract
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, GroupSize, Logp, Node, Output, Reduce
from alignc.graph.rewrite import substitute
from alignc.lower.loss import POLICY
from alignc.theory.kinds import Placement
from alignc.theory.symbolic import decide
from alignc.verify import Verdict, verify
from alignc.verify.selfplay import NO_KAPPA

MEMBER = Reduce("sum", "token", Logp(POLICY, "completions"))
ROW = Column("value", None, MEMBER.type.unit)


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (Reduce("mean", "group", MEMBER), ROW),
        (Reduce("pairs", "group", MEMBER), constant(0)),
    ],
)
def test_a_value_of_the_row_is_the_same_for_every_response(whole: Node, expected: Node) -> None:
    assert substitute(whole, {MEMBER: ROW}) == expected


def test_a_sum_of_a_value_of_the_row_counts_the_responses() -> None:
    found = substitute(Reduce("sum", "group", MEMBER), {MEMBER: ROW})
    assert set(found.factors) == {ROW, GroupSize()}  # type: ignore[attr-defined]


def test_a_partition_at_the_reference_is_explained(tmp_path: Path) -> None:
    term = {
        "name": "fit", "kind": "pointwise", "on": "completions", "direction": "up", "link": "robust",
        "target": {"kind": "win_rate", "eta": 0.5, "baseline": "log_partition", "outcome": "won"},
    }  # fmt: skip
    data = {
        "kind": "self_play", "source": "x/y", "completions_per_prompt": 4,
        "oracle": {"kind": "http", "url": "https://example.org/score"},
    }  # fmt: skip
    spec = {"objective": {"terms": [term]}, "data": data,
            "model": {"policy": {"init": "llama", "tokenizer": "bytes"}}}  # fmt: skip
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec), "utf-8")
    assert not [d for d in validate(path).diagnostics if d.severity == "error"]
    built(path, files=False)


@pytest.mark.parametrize("placement", ["reward", "loss", "ratio"])
def test_a_sign_whose_argument_has_a_pole_has_no_slope(placement: Placement) -> None:
    found = decide("sign(u-((u**2)**-2))", placement)
    assert (found.g == "0") == (placement == "loss")


def test_the_gradient_of_a_value_of_the_row_is_a_sum_over_its_group() -> None:
    value = Output(Quantity.VALUE, POLICY, COMPLETIONS)
    reward = Column("reward", COMPLETIONS, value.type.unit)
    loss = Reduce("sum", "group", power(subtract(value, reward), 2))
    known = {value: [0.5, -1.0], reward: [[1.0, 3.0], [2.0, 0.0, 4.0]]}
    assert evaluate(gradient(loss, value), known) == [2 * (-0.5 - 2.5), 2 * (-3.0 - 1.0 - 5.0)]


@pytest.mark.parametrize("margin", [1.0, 10_000.0])
def test_a_square_with_moving_weights_has_no_stated_optimum(margin: float, tmp_path: Path) -> None:
    """A constant margin is met by no policy for all pairs, so weights of pairs move the optimum."""
    term = {"name": "fit", "kind": "preference", "link": "squared", "sample_weight": "likelihood",
            "margin": {"kind": "constant", "value": margin}}  # fmt: skip
    spec = {"objective": {"terms": [term]}, "model": {"policy": "x/y"},
            "data": {"kind": "pairwise", "source": "x/y"}}  # fmt: skip
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec), "utf-8")
    compiled = lowered(path, files=False)
    assert not verify(compiled.spec, compiled.loss).of(Verdict.REFUTED)
    even = {**spec, "objective": {"terms": [{**term, "sample_weight": "none"}]}}
    path.write_text(json.dumps(even), "utf-8")
    compiled = lowered(path, files=False)
    held = verify(compiled.spec, compiled.loss).of(Verdict.HOLDS)
    assert {c.about for c in held} >= {"optimum, off-policy data", "optimum, certain labels"}


@pytest.mark.parametrize("partition", [0.9, 0.5])
def test_a_constant_without_a_closed_form_refutes_nothing(partition: float, tmp_path: Path) -> None:
    """Σ π_t·e^t is below 1 where the constant is above every win rate."""
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"objective: {{preset: sppo, partition: {partition}}}\nmodel: {{policy: x/y}}\n"
        "data: {kind: scored, source: x/y}\n",
        "utf-8",
    )
    compiled = lowered(path, files=False)
    found = verify(compiled.spec, compiled.loss)
    assert not found.of(Verdict.REFUTED)
    unsolved = [c for c in found.of(Verdict.UNDECIDED) if c.found == NO_KAPPA]
    assert bool(unsolved) == (partition == 0.9)
