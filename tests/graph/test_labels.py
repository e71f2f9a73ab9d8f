"""An undesirable response has the link of −z, with a target and a reference point too; β counts once."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

from alignc.diagnostics import DiagnosticError
from alignc.graph.evaluate import evaluate
from alignc.lower.loss import alone
from alignc.point.evaluate import at_point

from ..batches import given
from ..variants import of_spec

ROW = {"logp": -5.0, "ref_logp": -7.0, "length": 3, "reward": 0.5, "win_rate": 0.8}
"""u = 2."""


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def term(**axes: Any) -> dict[str, Any]:
    score = {"of": "log_ratio", "beta": 0.1}
    return {"terms": [{"name": "mark", "kind": "pointwise", "score": score, **axes}]}


def slope(objective: dict[str, Any], label: bool) -> float:
    found = at_point(
        of_spec(objective, "pointwise").loss, {"examples": [{"completion": ROW, "label": label}]}
    )
    value: float = found["examples"][0]["gradient"]["completion"]["logp"]
    return value


CONSTANT = {"kind": "constant", "value": 0.05}
"""z = 0.2 − 0.05 = 0.15."""


@pytest.mark.parametrize(
    ("link", "up", "down"),
    [
        ("logistic", -0.1 * sigma(-0.15), 0.1 * sigma(0.15)),
        ("utility", -0.1 * sigma(0.15) * sigma(-0.15), 0.1 * sigma(0.15) * sigma(-0.15)),
        ("exponential", -0.1 * exp(-0.15), 0.1 * exp(0.15)),
        ("hinge", -0.1, 0.1),
        ("softplus(-z)", -0.1 * sigma(-0.15), 0.1 * sigma(0.15)),
    ],
)
def test_a_target_leaves_the_label(link: str, up: float, down: float) -> None:
    objective = term(link=link, target=CONSTANT)
    assert slope(objective, True) == pytest.approx(up)
    assert slope(objective, False) == pytest.approx(down)


def test_the_weights_of_labels_stay_with_a_target() -> None:
    objective = term(link="logistic", target=CONSTANT, desirable_weight=3.0, undesirable_weight=0.5)
    assert slope(objective, True) == pytest.approx(-0.3 * sigma(-0.15))
    assert slope(objective, False) == pytest.approx(0.05 * sigma(0.15))


def test_a_square_reads_no_label() -> None:
    """(z)² = (−z)²: a regression on scored or sampled responses needs no label."""
    squared = term(link="squared", score={"of": "log_ratio"}, target={"kind": "reward"})
    compiled = of_spec(squared, "scored")
    assert "column/label" not in compiled.folder().files["loss.py"]
    assert slope(squared, True) == slope(squared, False) == pytest.approx(2 * (2 - 0.5))


@pytest.mark.parametrize("kind", ["scored", "prompts", "demonstrations"])
def test_rows_without_labels_are_refused(kind: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        of_spec(term(link="logistic", target=CONSTANT), kind)
    assert [d.code for d in error.value.diagnostics] == ["E102"]


@pytest.mark.parametrize("link", ["logistic", "squared"])
def test_beta_counts_once_under_a_running_mean(link: str) -> None:
    """Of two rows, u = 2 and u = −1: δ = mean(β·u) = 0.05, and z = β·u − δ, whatever the unit of β is."""
    made = of_spec(term(link=link, direction="up", reference_point={"kind": "running_mean"}), "pointwise")
    drawn = {"policy/completion": [[-5.0], [-4.0]], "initial/completion": [[-7.0], [-3.0]]}
    z = next(n for n in made.loss.named if n.name == "z")
    assert evaluate(z, given(drawn, [z])) == pytest.approx([0.2 - 0.05, -0.1 - 0.05])
    assert alone(made.loss.root)


def test_the_running_mean_of_groups_is_over_rows() -> None:
    """δ is the mean over rows of the mean over a row's responses: ((2 + 0)/2 + (3 + 3 + 3)/3)/2·β = 0.2."""
    objective = term(link="logistic", direction="up", reference_point={"kind": "running_mean"})
    made = of_spec(objective, "scored")
    drawn = {
        "policy/completions": [[[-5.0], [-5.0]], [[-1.0], [-1.0], [-1.0]]],
        "initial/completions": [[[-7.0], [-5.0]], [[-4.0], [-4.0], [-4.0]]],
    }
    delta = next(n for n in made.loss.named if n.symbol == "δ")
    assert evaluate(delta, given(drawn, [delta])) == pytest.approx(0.2)
