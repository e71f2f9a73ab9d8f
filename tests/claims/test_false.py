"""Each checker can fail: a claim that is false of a spec is refuted."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from alignc.api import Compiled
from alignc.claims import Claim, Outcome, check, claims_of
from alignc.claims.checkers import CHECKERS
from alignc.claims.kinds.descent import (
    Ascends,
    Counted,
    Descends,
    Form,
    LaterAscends,
    LaterDiffers,
    Lengths,
    NoRest,
    Pull,
    RestsAt,
    RestsAtAnchor,
    Undecided,
)
from alignc.claims.kinds.spec import (
    Bound,
    Endless,
    ModelRole,
    Prose,
    Recurrence,
    Scaling,
    Stated,
    Turns,
    Unbounded,
    Variant,
    WinRateOptimum,
)
from alignc.claims.model import Push, Section, Shift, Slope, SlopeAtStart, StepZero, When
from alignc.claims.numbers import draw, flat
from alignc.claims.slopes import slope
from alignc.contract.models import POLICY
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Logp
from alignc.theory.kinds import Kind

from ..online_variants import Online, compiled_online
from ..reference_policy import Method
from ..variants import Variant as Given
from ..variants import compiled, of_spec

C = TypeVar("C", bound=Claim)
K3 = {"estimator": "k3", "placement": "loss", "beta": 0.04}
GROUPED = {
    "completions_per_prompt": 3,
    "max_new_tokens": 8,
    "reward": {"kind": "verifier", "name": "exact_number"},
}


def online(objective: dict[str, Any], **data: Any) -> Compiled:
    return compiled_online(Online("", objective, Method(), data={**GROUPED, **data}))


def said(made: Compiled, kind: type[C]) -> list[C]:
    return [c for c in claims_of(made) if isinstance(c, kind)]


def refuted(claim: Claim, made: Compiled) -> bool:
    return check(claim, made).outcome is Outcome.REFUTED


# ---- what updates ascend, and where they rest ------------------------------------------------------------------

GIBBS = RestsAt("policy", Form.GIBBS, 0.05, 1.0, Lengths.ONE)


def test_the_deviation_of_the_group_moves_the_fixed_point() -> None:
    """GRPO with std does not rest at the Gibbs policy, nor at the hyperbolic one; its optimum is left undecided."""
    made = online({"preset": "grpo", "kl": K3})
    hyperbolic = RestsAt("policy", Form.HYPERBOLIC, 0.04 * 3 / 2, 1.5, Lengths.ONE, among=3)
    assert refuted(hyperbolic, made)
    assert refuted(replace(hyperbolic, form=Form.GIBBS), made)
    assert [c.part for c in said(made, Undecided)] == [Section.ROLLOUT, Section.OPTIMUM]
    plain = online({"preset": "grpo", "kl": K3, "terms": {"policy": {"baseline": {"std": False}}}})
    assert check(hyperbolic, plain).holds
    assert refuted(replace(hyperbolic, beta=0.04, factor=1.0), plain)
    assert refuted(replace(hyperbolic, lengths=Lengths.ANY), plain)
    assert said(plain, RestsAt) == [hyperbolic]


def test_a_discount_is_not_gibbs() -> None:
    objective = {"preset": "ppo", "discount": 0.5}
    made = online(objective)
    claim = RestsAt("policy", Form.GIBBS, 0.05, 1.0, Lengths.ANY, exact_critic=True, many=True)
    assert refuted(claim, made)
    assert not said(made, RestsAt)
    assert check(claim, online({"preset": "ppo"})).holds
    assert said(online({"preset": "ppo"}), RestsAt) == [claim]
    [first] = said(online({"preset": "ppo"}), Ascends)
    assert first.many
    assert refuted(replace(first, many=False), online({"preset": "ppo"}))


def test_what_the_first_update_ascends() -> None:
    made = online({"preset": "rloo"})
    [claim] = said(made, Ascends)
    assert check(claim, made).holds
    assert refuted(replace(claim, beta=2 * claim.beta), made)
    assert refuted(replace(claim, kind=None, beta=0.0), made)
    assert refuted(replace(claim, kind=Kind.REVERSE, divergence="KL(ref‖π)"), made)
    assert refuted(replace(claim, counted=Counted.STEPWISE), made)
    assert refuted(Ascends("policy", "reward", 0.0, 1.0, None, "", Counted.WHOLE, When.ALWAYS, Lengths.ANY),
                   online({"preset": "grpo", "kl": None}))  # fmt: skip


def test_later_updates() -> None:
    """With a clip they are not the first update's; with a whole ratio and no bound the KL stays that of the rollout."""
    clipped = online({"preset": "ppo"})
    assert refuted(LaterAscends("policy", 0.05), clipped)
    assert check(LaterDiffers("policy", True, True, True), clipped).holds
    whole = {"surrogate": {"kind": "importance"}, "ratio": "sequence"}
    made = online({"preset": "rloo", "terms": {"policy": whole}})
    assert check(LaterAscends("policy", 0.03), made).holds
    assert refuted(LaterAscends("policy", 0.06), made)
    plain = online({"preset": "rloo", "kl": None, "terms": {"policy": whole}}, max_new_tokens=1)
    assert refuted(LaterDiffers("policy", True, False, True), plain)


# ---- what a KL descends ----------------------------------------------------------------------------------------


def test_a_kl_is_descended_at_the_first_update_only() -> None:
    made = online({"preset": "grpo", "kl": K3, "epochs": 4})
    [claim] = said(made, Descends)
    assert (claim.when, claim.lengths, claim.counted) == (When.FIRST, Lengths.EQUAL, Counted.STEPWISE)
    assert check(claim, made).holds
    assert refuted(replace(claim, when=When.ALWAYS), made)
    assert refuted(replace(claim, lengths=Lengths.ANY), made)
    assert refuted(replace(claim, counted=Counted.WHOLE), made)
    assert refuted(replace(claim, kind=Kind.KL, divergence="KL(π‖ref)"), made)
    assert said(online({"preset": "grpo", "kl": K3, "epochs": 1}), Descends)[0].when is When.ALWAYS


def test_a_kl_within_a_small_clamp() -> None:
    """Policies that do not meet the clamp are so near that their log-ratio is a rounded difference."""
    term = {"name": "pull", "kind": "kl", "on": "completion", "estimator": "k2", "clamp": 1e-8}
    made = of_spec({"terms": [term]}, "scored")
    [claim] = said(made, Descends)
    assert check(claim, made).holds
    assert refuted(replace(claim, kind=Kind.VARIATION), made)


def test_a_strong_kl() -> None:
    made = online({"preset": "rloo", "kl": {"estimator": "k1", "placement": "reward", "beta": 1e4}})
    [claim] = said(made, Ascends)
    assert check(claim, made).holds
    assert refuted(replace(claim, beta=1.001 * claim.beta), made)


def test_the_coefficient_of_a_kl() -> None:
    made = online({"preset": "grpo", "kl": K3})
    [claim] = said(made, Pull)
    assert check(claim, made).holds
    assert refuted(replace(claim, g=b.multiply(b.constant(2), claim.g)), made)


@pytest.mark.parametrize(("gradient", "kind"), [("k1", Kind.KL), ("k3", Kind.KL), ("k2", Kind.NONCONVEX)])
def test_an_estimator_of_the_gradient_under_a_ratio(gradient: str, kind: Kind) -> None:
    """The estimator of the value adds nothing to the gradient: it is that of the other one, with its own ratio."""

    def made(**estimators: str) -> Compiled:
        term = {"name": "pull", "kind": "kl", "on": "completion", "correction": "ratio"}
        return of_spec({"terms": [{**term, **estimators}]}, "scored")

    mixed = made(estimator="abs", gradient=gradient)
    [claim] = said(mixed, Descends)
    assert claim.kind is kind
    assert check(claim, mixed).holds
    leaf, alone = Logp(POLICY, "completions"), made(estimator=gradient)
    slopes = slope(mixed.loss, leaf), slope(alone.loss, leaf)
    batch = draw(random.Random(5), slopes)
    ours, wanted = (flat(evaluate(s, batch)) for s in slopes)
    assert ours == pytest.approx(wanted, rel=1e-12)
    assert refuted(replace(claim, kind=Kind.VARIATION), mixed)


def test_a_kl_on_given_data() -> None:
    objective = {"preset": "dpo", "terms": {"hold": {"kind": "kl", "weight": 0.1, "estimator": "k3"}}}
    made = of_spec(objective)
    [claim] = said(made, RestsAtAnchor)
    assert claim.rests
    assert refuted(replace(claim, rests=False), made)
    [would] = said(made, Descends)
    assert would.when is When.OWN
    assert check(would, made).holds
    assert refuted(replace(would, kind=Kind.KL), made)
    assert refuted(NoRest("hold", Kind.SADDLE), made)


# ---- the spec --------------------------------------------------------------------------------------------------


def test_advantages() -> None:
    """GRPO with the KL in the reward divides by the deviation of the group, and the recurrence says so."""
    kl = {"estimator": "k1", "placement": "reward", "beta": 0.1, "granularity": "token"}
    made = online({"preset": "grpo", "kl": kl})
    [claim] = said(made, Recurrence)
    assert claim.std == (1, 1e-4)
    assert check(claim, made).holds
    for false in (
        replace(claim, std=None), replace(claim, std=(0, 1e-4)), replace(claim, discount=0.9),
        replace(claim, baseline="none"), replace(claim, whiten=True), replace(claim, penalty=""),
        replace(claim, decay=0.95), replace(claim, earned="P"), replace(claim, by_token=False),
    ):  # fmt: skip
        assert refuted(false, made), false


def test_the_name_of_a_method() -> None:
    """DPO with another link is a variant, and not equation 7."""
    made = of_spec({"preset": "dpo", "terms": {"pref": {"link": {"kind": "hinge"}}}})
    [claim] = said(made, Variant)
    assert claim.axes == (("pref.link", "hinge"),)
    assert claim.paper == "after Rafailov et al. 2023, arXiv:2305.18290"
    assert refuted(replace(claim, axes=()), made)
    plain = of_spec({"preset": "dpo", "beta": 0.7})
    [named] = said(plain, Variant)
    assert named.axes == ()
    assert named.paper is not None
    assert "eq. 7" in named.paper
    assert refuted(replace(named, axes=(("link", "hinge"),)), plain)


@pytest.mark.parametrize(
    ("objective", "kind", "axes"),
    [
        ({"preset": "cal_dpo", "terms": {"pref": {"link": "logistic"}}}, "pairwise", ()),
        ({"preset": "cal_dpo", "terms": {"pref": {"link": "hinge"}}}, "pairwise", (("pref.link", "hinge"),)),
        ({"preset": "reinforce", "baseline": "none"}, "scored", ()),
        (
            {"preset": "ppo", "terms": {"policy": {"kl": {"granularity": "sequence"}}}},
            "scored",
            (("policy.kl.granularity", "sequence"),),
        ),
        ({"preset": "reward_model", "center": 0.2, "terms": {"rank": {"center": 0}}}, "pairwise", ()),
        ({"preset": "reward_model", "center": 0.2}, "pairwise", (("center", "0.2"),)),
        ({"preset": "sppo", "partition": 0}, "pointwise", (("partition", "0"),)),
        ({"preset": "sppo", "partition": 0.4}, "pointwise", (("partition", "0.4"),)),
        ({"preset": "sppo", "eta": 3}, "pointwise", ()),
        ({"preset": "reinforce", "baseline": "batch_mean"}, "scored", (("baseline", "batch_mean"),)),
    ],
)
def test_a_variant_has_the_axes_that_change_the_loss(
    objective: dict[str, Any], kind: str, axes: tuple[tuple[str, str], ...]
) -> None:
    made = online(objective) if kind == "scored" else of_spec(objective, kind)
    [claim] = said(made, Variant)
    assert claim.axes == axes
    assert not refuted(claim, made)


def test_values_of_the_spec() -> None:
    made = online({"preset": "grpo", "kl": None}, completions_per_prompt=4)
    four = Bound("k", 4, ("data.completions_per_prompt",))
    assert check(Stated(Section.ROLLOUT, "{k} responses", (four,)), made).holds
    assert refuted(Stated(Section.ROLLOUT, "{k} responses", (replace(four, value=64),)), made)
    assert refuted(Stated(Section.ROLLOUT, "{k} of 64 responses", (four,)), made)
    assert refuted(Stated(Section.ROLLOUT, "one pass", (), (Bound("", 3, ("train.rollout_epochs",)),)), made)


def test_scaling_and_models() -> None:
    made = compiled(Given("dpo"))
    assert refuted(Scaling("tokens", False), made)
    assert refuted(Scaling("rows", True), made)
    assert refuted(Scaling("rows", False), compiled(Given("sft", "demonstrations")))
    weightless = {"name": "hold", "kind": "likelihood", "on": "completion", "weight": 0}
    fit = {
        "name": "fit",
        "kind": "pointwise",
        "direction": "up",
        "target": {"kind": "none"},
        "link": "squared",
    }
    alone = of_spec({"terms": [fit, weightless]}, "demonstrations")
    assert said(alone, Scaling) == [Scaling("rows", False)]
    assert refuted(Scaling("both", False), alone)
    [policy] = [c for c in said(made, ModelRole) if c.role == "policy"]
    assert refuted(replace(policy, forwards=1), made)
    assert refuted(replace(policy, role="reference"), made)


def test_the_loss_as_a_function_of_the_margin() -> None:
    dpo, robust, smooth = (
        compiled(Given(*g))
        for g in (("dpo",), ("robust_dpo",), ("dpo", "pairwise", {"label_smoothing": 0.2}))
    )
    [endless] = said(dpo, Endless)
    [unbounded] = said(robust, Unbounded)
    [turns] = said(smooth, Turns)
    assert turns.low == pytest.approx([1.3862943611198906], abs=1e-5)  # log((1 − ε)/ε)
    for claim, made in ((endless, dpo), (unbounded, robust), (turns, smooth)):
        assert check(claim, made).holds
    assert refuted(replace(turns, low=(1.0,)), smooth)
    assert refuted(Endless(turns.term, turns.z, turns.value), smooth)
    assert refuted(Unbounded(endless.term, endless.z, endless.value), dpo)


def test_the_optimum_of_a_regression_on_win_rates() -> None:
    """With the score's own β the optimum is t = η·(P − b)/β."""
    objective = {"preset": "sppo", "eta": 2, "terms": {"fit": {"score": {"beta": 0.5}}}}
    made = of_spec(objective, "pointwise")
    [claim] = said(made, WinRateOptimum)
    assert (claim.eta, claim.beta, claim.baseline) == (2, 0.5, 0.5)
    assert check(claim, made).holds
    assert refuted(replace(claim, beta=1.0), made)
    assert refuted(replace(claim, exact=True), made)


def test_every_kind_has_a_checker_that_is_tested_here() -> None:
    source = Path(__file__).read_text("utf-8")
    told = {
        Slope,
        SlopeAtStart,
        StepZero,
        Push,
        Shift,
        Undecided,
        Prose,
    }  # in test_claims, or without a check
    for kind in CHECKERS:
        assert kind in told or kind.__name__ in source, kind
