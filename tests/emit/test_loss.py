"""The emitted loss against the float64 evaluator of its own graph, whole and split."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from alignc.api import Compiled
from alignc.graph.build import ZERO, add, multiply
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Logp, Matched, Node, Output, Reduce, Running
from alignc.graph.rewrite import inputs, substitute
from alignc.lower.statistics import statistics

from ..batches import Numbers, given, numbers, totals
from ..emitted import filled, loss_module, run_split, tensors
from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled, of_spec

ROWS = 6


def evaluated_gradient(made: Compiled, drawn: Numbers) -> dict[str, torch.Tensor]:
    """Differentiate the sum of rows, with statistics and counts over the batch held where they stand."""
    loss, known = made.loss, given(drawn, made.loss.outputs)
    held: dict[Node, Node] = {
        n: Column(f"held{i}", None, n.type.unit) for i, n in enumerate(statistics(loss))
    }
    total = ZERO
    for term in loss.terms:
        rows = substitute(term.rows, held)
        mean = isinstance(term.value, Reduce)
        count = len_of(drawn) if mean else totals(drawn, made.needs.totals)[f"tokens/{term.responses[0]}"]
        slope = Column(
            f"share{count}", None, (loss.root.type.unit / (term.weight.type.unit * rows.type.unit))
        )
        known[slope] = [1 / count] * len_of(drawn)
        total = add(total, multiply(term.weight, slope, rows))
    for old, new in held.items():
        value = evaluate(old, known)
        known[new] = value if isinstance(value, list) else [value] * len_of(drawn)
    found = {}
    for node in inputs(total):
        if isinstance(node, Logp | Output) and node.type.trained:
            key = f"policy/{node.response}" if isinstance(node, Logp) else key_of(node)
            found[key] = shaped(evaluate(gradient(total, node), known), drawn[key])
    return found


def key_of(node: Output) -> str:
    return "value" if node.quantity == "value" else f"{node.quantity}/{node.response}"


def len_of(drawn: Numbers) -> int:
    return len(next(iter(drawn.values())))


def shaped(value: Any, like: list[Any]) -> torch.Tensor:
    """Give every token its slope, where the slope is one for a whole response or row."""

    def spread(v: Any, l: Any) -> Any:
        if not isinstance(l, list):
            return v
        return [spread(v[i] if isinstance(v, list) else v, inner) for i, inner in enumerate(l)]

    return filled(spread(value, like), 0)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


EVERY = [*ALL, *METHODS]


def made_of(variant: Variant | Online) -> Compiled:
    return compiled_online(variant) if isinstance(variant, Online) else compiled(variant)


@pytest.mark.parametrize("variant", EVERY, ids=lambda v: v.name)
def test_the_emitted_loss_is_the_graph(variant: Variant | Online) -> None:
    made = made_of(variant)
    drawn = numbers(random.Random(variant.name), made, ROWS)
    loss, metrics, gradients = run_split(made, drawn, [list(range(ROWS))])
    known = given(drawn, made.loss.outputs)
    assert loss == pytest.approx(evaluate(made.loss.root, known), rel=1e-12)
    for metric in made.loss.metrics:
        assert metrics[metric.name] == pytest.approx(evaluate(metric.value, known), rel=1e-12, abs=1e-12)
    expected = evaluated_gradient(made, drawn)
    assert expected.keys() <= gradients.keys()
    for name, slopes in gradients.items():
        assert_close(slopes, expected.get(name, torch.zeros_like(slopes)))


@pytest.mark.parametrize("variant", EVERY, ids=lambda v: v.name)
def test_shares_of_any_split_add_up(variant: Variant | Online) -> None:
    """Micro-batches of random sizes, in random order, each padded to its own length."""
    made, rng = made_of(variant), random.Random(variant.name)
    drawn = numbers(rng, made, ROWS)
    whole = run_split(made, drawn, [list(range(ROWS))])
    for _ in range(2):
        order = rng.sample(range(ROWS), ROWS)
        cuts = sorted(rng.sample(range(1, ROWS), rng.randint(1, ROWS - 1)))
        splits = [order[a:b] for a, b in zip([0, *cuts], [*cuts, ROWS], strict=True)]
        parts = run_split(made, drawn, splits, extra=3)
        assert parts[0] == pytest.approx(whole[0], rel=1e-12)
        assert parts[1] == pytest.approx(whole[1], rel=1e-12, abs=1e-12)
        for name, slopes in whole[2].items():
            assert_close(parts[2][name], slopes)


MIX = {
    "terms": [
        {"name": "pref", "kind": "preference", "score": {"of": "log_ratio", "beta": 0.1}},
        {
            "name": "mark",
            "kind": "pointwise",
            "score": {"of": "log_ratio", "beta": 0.05},
            "reference_point": {"kind": "batch_kl"},
        },
        {"name": "nll", "kind": "likelihood", "on": "chosen", "weight": 0.2},
        {
            "name": "mean",
            "kind": "preference",
            "weight": 0.5,
            "score": {"of": "log_prob", "reduce": "mean", "beta": 2},
            "margin": {"kind": "constant", "value": 1},
            "link": "log(1+(z-2)**2)",
        },
    ]
}


def test_a_mix_of_terms() -> None:
    made = of_spec(MIX)
    drawn = numbers(random.Random(1), made, ROWS)
    known = given(drawn, made.loss.outputs)
    loss, metrics, gradients = run_split(made, drawn, [[0, 1, 2, 3, 4, 5]])
    assert loss == pytest.approx(evaluate(made.loss.root, known), rel=1e-12)
    for metric in made.loss.metrics:
        assert metrics[metric.name] == pytest.approx(evaluate(metric.value, known), rel=1e-12, abs=1e-12)
    parts = run_split(made, drawn, [[3, 0], [5], [1, 2, 4]], extra=2)
    assert parts[0] == pytest.approx(loss, rel=1e-12)
    assert parts[1] == pytest.approx(metrics, rel=1e-12, abs=1e-12)
    expected = evaluated_gradient(made, drawn)
    for name, slopes in expected.items():
        assert_close(gradients[name], slopes)
        assert_close(parts[2][name], slopes)


def test_no_metric_is_differentiated() -> None:
    made = compiled(Variant("dpo"))
    drawn = numbers(random.Random(2), made, 2)
    _, metrics = loss_module(made).loss(tensors(drawn, [0, 1]), totals(drawn, made.needs.totals))
    assert not any(value.requires_grad for value in metrics.values())


def test_what_couples_rows_is_a_statistic() -> None:
    coupled = {v.preset for v in ALL if compiled(v).needs.coupled or compiled(v).needs.statistics}
    assert coupled == {"kto", "bco", "aot"}
    kinds = {Reduce: "mean", Running: "running", Matched: "matched"}
    for preset in coupled:
        made = compiled(Variant(preset))
        assert list(made.needs.statistics.values()) == [kinds[type(n)] for n in statistics(made.loss)]
