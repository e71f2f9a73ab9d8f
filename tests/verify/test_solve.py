"""Searches on functions of known shape, arrays against the graph's evaluator, and theory that is wrong on purpose."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignc.api import lowered
from alignc.graph.evaluate import evaluate
from alignc.graph.rewrite import inputs
from alignc.verify import Verdict, verify
from alignc.verify import optima as module
from alignc.verify.arrays import evaluate_arrays
from alignc.verify.objectives import TOY, agreement, theta_of
from alignc.verify.optimum import Stated, stated
from alignc.verify.rows import orders, rows_of_data
from alignc.verify.solve import Field, Outcome, polished, search
from alignc.verify.toy import Array, Expected, Reading, Rows, log_softmax

from .settings import settings_of, tried, verified
from .test_verify import DATA, written

START = np.zeros(3)
WAY = np.array([1.0, -0.5, -0.5])


def along(slope: Any, value: Any = None) -> Field:
    """A field of three logits that moves only along one direction."""
    way = WAY / np.linalg.norm(WAY)
    held = None if value is None else (lambda x, at: float(value(float(x @ way))))
    return Field(lambda x: np.array(slope(float(x @ way)) * way), 3, held, value is not None)


@pytest.mark.parametrize("with_value", [True, False])
def test_a_square_rests_however_far(with_value: bool) -> None:
    for goal in (0.3, 30.0, 3000.0):
        field = along(lambda t, g=goal: 2 * (t - g), (lambda t, g=goal: (t - g) ** 2) if with_value else None)
        ended = search(field, START, far=1e6)
        assert ended.outcome is Outcome.RESTS
        assert ended.theta @ WAY / np.linalg.norm(WAY) == pytest.approx(goal, rel=1e-9)


@pytest.mark.parametrize("rate", [0.01, 1.0, 100.0])
def test_a_tail_is_left_without_end_and_is_no_rest(rate: float) -> None:
    """The gradient becomes as small as one likes, at once where the rate is large: that is no minimum."""
    field = along(
        lambda t: -rate * math.exp(-min(rate * t, 700.0)), lambda t: math.exp(-min(rate * t, 700.0))
    )
    assert search(field, START).outcome is Outcome.LEAVES


def test_a_tail_of_a_tail_is_no_rest() -> None:
    def slope(t: float) -> float:
        return -math.exp(min(t, 700.0)) * math.exp(-min(math.exp(min(t, 700.0)), 700.0)) if t < 6.5 else 0.0

    assert search(along(slope), START).outcome is not Outcome.RESTS


def test_a_search_past_a_kink_or_a_hill_does_not_claim_a_rest() -> None:
    kink = along(lambda t: -1.0 if t < 2 else 1.0, lambda t: abs(t - 2))
    assert search(kink, START).outcome is Outcome.STALLED
    hill = along(lambda t: -2.0 * t, lambda t: -t * t)
    assert polished(hill, START).outcome is not Outcome.RESTS


PRESETS = ("dpo", "f_dpo", "ld_dpo", "orpo", "kto", "copg", "dro", "wpo", "dpop", "sft", "reward_model")


@pytest.mark.parametrize("preset", PRESETS)
def test_arrays_mean_what_the_graph_s_evaluator_means(preset: str, tmp_path: Path) -> None:
    """Two evaluators: lists by recursion, and padded arrays."""
    kind = DATA.get(preset, "pairwise")
    loss = lowered(written(tmp_path, f"{{preset: {preset}}}", kind), files=False).loss
    rows = rows_of_data(loss, TOY)
    theta = theta_of(np.array([-1.0, -0.3, -2.0, 0.4]), TOY) + np.linspace(-0.4, 0.6, 9)
    expected, read, data = Expected(loss, TOY, rows), Reading(TOY, theta, theta), Rows(TOY, rows)
    given = {c: [0.25] * len(rows) for c in expected.shared.values()}
    for root in (expected.row_loss, *expected.slopes.values()):
        leaves = [n for n in inputs(root) if n not in given]
        lists = evaluate(root, {**given, **{n: data.listed(n, read) for n in leaves}})
        arrays = evaluate_arrays(
            root,
            {**{c: np.array(0.25) for c in given}, **{n: data.leaf(n, read) for n in leaves}},
            data.masks,
        )
        listed = data.first(arrays, grouped=False)
        plain = [_first(v) for v in lists] if isinstance(lists, list) else [lists] * len(rows)
        assert listed == pytest.approx(plain, rel=1e-12, abs=1e-15)


def _first(value: Any) -> float:
    while isinstance(value, list):
        value = value[0]
    return float(value)


def test_orders_of_a_group() -> None:
    for group in itertools.combinations_with_replacement(range(3), 4):
        assert math.exp(orders(group)) == pytest.approx(len(set(itertools.permutations(group))))


# ---- extreme settings, and wrong theory there -------------------------------------------------------------------

EXTREME = (
    ("{preset: dpo, beta: 5}", "pairwise"),
    ("{preset: dpo, beta: 500}", "pairwise"),
    ("{preset: ipo, tau: 0.005}", "pairwise"),
    ("{preset: ipo, tau: 0.0005}", "scored"),
    ("{preset: sppo, eta: 10000}", "pointwise"),
    ("{preset: f_dpo, divergence: js, beta: 0.1}", "pairwise"),
    ("{preset: f_dpo, divergence: alpha, beta: 0.1}", "pairwise"),
    ("{preset: f_dpo, divergence: forward_kl, beta: 0.02}", "pairwise"),
    ("{preset: copg, beta: 0.001}", "scored"),
    ("{preset: r_dpo, beta: 30}", "pairwise"),
)


@pytest.mark.parametrize(("objective", "kind"), EXTREME)
def test_right_theory_is_not_refuted_at_extreme_settings(objective: str, kind: str, tmp_path: Path) -> None:
    compiled = lowered(written(tmp_path, objective, kind), files=False)
    found = verify(compiled.spec, compiled.loss)
    assert found.of(Verdict.REFUTED) == []
    ends = [c for c in found.claims if c.about.startswith("optimum, o")]
    assert [c.verdict for c in ends] == [Verdict.HOLDS] * 2
    assert "It ends at" in found.does


@pytest.mark.parametrize(("objective", "kind"), EXTREME)
def test_wrong_theory_is_refuted_at_extreme_settings(
    objective: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimum of rewards that are 1% smaller."""
    compiled = lowered(written(tmp_path, objective, kind), files=False)
    monkeypatch.setattr(
        module,
        "stated",
        lambda terms, toy, **how: stated(terms, replace(toy, rewards=0.99 * toy.rewards), **how),
    )
    found = verify(compiled.spec, compiled.loss)
    ends = [c for c in found.claims if c.about.startswith("optimum, o")]
    assert [c.verdict for c in ends] == [Verdict.REFUTED] * 2
    assert not found.holds


def test_a_search_that_does_not_converge_refutes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient at the stated policy is still looked at: it refutes where it is not 0."""
    compiled = lowered(written(tmp_path, "{preset: dpo}", "pairwise"), files=False)
    real = module.search
    monkeypatch.setattr(module, "search", lambda *a, **k: replace(real(*a, **k), outcome=Outcome.STALLED))
    ends = [c for c in verify(compiled.spec, compiled.loss).claims if c.about.startswith("optimum, o")]
    assert [c.verdict for c in ends] == [Verdict.UNDECIDED] * 2
    assert all("not converged" in c.found for c in ends)
    monkeypatch.setattr(
        module,
        "stated",
        lambda terms, toy, **how: stated(terms, replace(toy, rewards=0.9 * toy.rewards), **how),
    )
    ends = [c for c in verify(compiled.spec, compiled.loss).claims if c.about.startswith("optimum, o")]
    assert [c.verdict for c in ends] == [Verdict.REFUTED] * 2


def test_a_lower_loss_elsewhere_refutes() -> None:
    """Two minima: the stated one is a rest, and not the least."""
    centre = np.array([1.0, -0.5, -0.5])

    def value(x: Array, held: Array) -> float:
        t = float(x @ centre) / 1.5
        return float((t * t - 1) ** 2 + 0.2 * t)

    def slope(x: Array) -> Array:
        t = float(x @ centre) / 1.5
        return np.array((4 * t * (t * t - 1) + 0.2) * centre / 1.5)

    field = Field(slope, 3, value, True)
    low, high = (log_softmax(polished(field, t * centre).theta) for t in (-1.0, 1.0))
    assert module.judge(field, -0.5 * centre, Stated("", low))[0] is Verdict.HOLDS
    assert module.judge(field, -0.5 * centre, Stated("", high))[0] is Verdict.REFUTED
    assert module.judge(field, 0.8 * centre, Stated("", low))[0] is Verdict.HOLDS


def test_a_wrong_derivative_is_refuted_and_a_rough_one_undecided() -> None:
    right, counted = np.array([1.0, -2.0]), [np.array([1.0, -2.0 + 1e-9])] * 3
    assert agreement("gradient", [(right, counted, 1.0)]).verdict is Verdict.HOLDS
    assert agreement("gradient", [(1.01 * right, counted, 1.0)]).verdict is Verdict.REFUTED
    rough = [np.array([1.0, -2.0 + x]) for x in (0.1, -0.1, 0.3)]
    assert agreement("gradient", [(right, rough, 1.0)]).verdict is Verdict.UNDECIDED


def test_settings_begin_with_the_ends_of_every_range() -> None:
    first = [given for _, given in itertools.islice(settings_of("r_dpo"), 12)]
    assert first[0] == {}
    assert {"beta": pytest.approx(1e-4)} in [{k: v for k, v in g.items() if k == "beta"} for g in first]
    assert verified("dpo", "pairwise", {"beta": 0.2}) is not None


@pytest.mark.long
@pytest.mark.parametrize("preset", ["dpo", "f_dpo", "ipo", "kto", "sppo", "grpo", "ppo"])
def test_twenty_settings(preset: str) -> None:
    found = list(tried(preset))
    assert len(found) == 20
    assert [t for t in found if t.refuted] == []
