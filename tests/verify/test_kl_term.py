"""A `kl` term: its value and gradient against float64 arithmetic written here, and the emitted torch against both."""

from __future__ import annotations

import json
import math
import random
import tempfile
from pathlib import Path

import pytest

from alignc.load.load import load
from alignc.lower.loss import Loss
from alignc.lower.lower import lower
from alignc.point.evaluate import at_point

from ..batches import numbers
from ..emitted import run_split
from ..variants import of_spec

KAPPA = {
    "k1": (lambda u: u, lambda u: 1.0),
    "k2": (lambda u: u * u / 2, lambda u: u),
    "k3": (lambda u: math.exp(-u) - 1 + u, lambda u: 1 - math.exp(-u)),
    "abs": (abs, lambda u: math.copysign(1, u)),
    "u**4/4": (lambda u: u**4 / 4, lambda u: u**3),
}
LOGP, REF, OLD = [-1.0, -2.0], [-1.5, -1.25], [-0.75, -2.5]


def objective(estimator: str, granularity: str, correction: str) -> dict[str, object]:
    term = {"name": "pull", "kind": "kl", "estimator": estimator, "weight": 0.5}
    pull = {**term, "granularity": granularity, "correction": correction}
    return {"terms": [pull]}


def lowered_anyway(what: dict[str, object]) -> Loss:
    """Lower a spec without checking it: some of these are unsound."""
    spec = {
        "objective": what,
        "model": {"policy": "x/y"},
        "data": {"kind": "demonstrations", "source": "x/y"},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(json.dumps(spec), "utf-8")
        return lower(load(path).lookup)


@pytest.mark.parametrize("correction", ["none", "importance", "ratio"])
@pytest.mark.parametrize("granularity", ["token", "sequence"])
@pytest.mark.parametrize("estimator", KAPPA)
def test_value_and_gradient(estimator: str, granularity: str, correction: str) -> None:
    value, slope = KAPPA[estimator]
    made = lowered_anyway(objective(estimator, granularity, correction))
    one = {"logp": LOGP, "ref_logp": REF, "old_logp": OLD}
    found = at_point(made, {"examples": [{"completion": one}]})
    whole = granularity == "sequence"
    parts = [(sum(LOGP), sum(REF), sum(OLD))] if whole else list(zip(LOGP, REF, OLD, strict=True))
    loss, gradient = 0.0, []
    for l, r, o in parts:
        rho = math.exp(l - o) if correction != "none" else 1.0
        loss += 0.5 * rho * value(l - r)
        gradient.append(0.5 * rho * (slope(l - r) + (value(l - r) if correction == "ratio" else 0)))
    assert found["loss"] == pytest.approx(loss, rel=1e-12)
    shown = found["examples"][0]["gradient"]["completion"]["logp"]
    assert shown == pytest.approx(gradient * 2 if whole else gradient, rel=1e-12)


@pytest.mark.parametrize("kind", ["demonstrations", "pairwise", "scored"])
@pytest.mark.parametrize(("granularity", "correction"), [("token", "ratio"), ("sequence", "importance")])
def test_the_emitted_loss_is_the_same_for_every_split(kind: str, granularity: str, correction: str) -> None:
    made = of_spec(objective("k3", granularity, correction), kind)
    drawn = numbers(random.Random(kind), made, 4)
    whole = run_split(made, drawn, [[0, 1, 2, 3]])
    parts = run_split(made, drawn, [[0], [1, 3], [2]], extra=2)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12)
    assert whole[1]["kl"] >= 0


def test_clamp_and_straight_through() -> None:
    """Beyond the clamp no gradient; the value of k3 with the gradient of k2."""
    term = {"name": "pull", "kind": "kl", "estimator": "k2", "clamp": 0.5}
    made = of_spec({"terms": [term]}, "demonstrations")
    one = at_point(made.loss, {"examples": [{"completion": {"logp": -1, "ref_logp": -3}}]})
    assert (one["loss"], one["examples"][0]["gradient"]["completion"]["logp"]) == (0.125, 0)
    term = {"name": "pull", "kind": "kl", "estimator": "k3", "gradient": "k2"}
    made = of_spec({"terms": [term]}, "demonstrations")
    one = at_point(made.loss, {"examples": [{"completion": {"logp": -1, "ref_logp": -3}}]})
    assert one["loss"] == pytest.approx(math.exp(-2) - 1 + 2)
    assert one["examples"][0]["gradient"]["completion"]["logp"] == pytest.approx(2)
