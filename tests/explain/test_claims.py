"""What explain says of a loss, held against numbers."""

from __future__ import annotations

import random
import re
from typing import Any, TypeVar

import pytest

from alignc.api import Compiled
from alignc.claims import Claim
from alignc.claims.model import Push, Section, Shift, ShiftWay, SlopeAtStart, StepZero, Way, When
from alignc.explain.show import show
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Length, Logp, Parameter
from alignc.graph.rewrite import inputs
from alignc.graph.sign import sign
from alignc.graph.types import Unit
from alignc.point.evaluate import at_point

from ..batches import given, numbers
from ..online_variants import Online, compiled_online
from ..reference_policy import Method
from ..variants import ALL, Variant, compiled, example

OWN = [v for v in ALL if v.preset != "aot"]


def slopes(made: Compiled, rows: list[dict[str, Any]]) -> list[dict[str, list[float]]]:
    """Evaluate the gradient of rows, by response: one number a token or a member of a group."""
    found = []
    for one in at_point(made.loss, {"examples": rows, "z0": 0.3}, possible=False)["examples"]:
        by = {}
        for response, inner in one["gradient"].items():
            members = inner if isinstance(inner, list) else [inner]
            values = [m.get("logp", m.get("score")) for m in members]
            by[response] = [x for v in values for x in (v if isinstance(v, list) else [v])]
        found.append(by)
    return found


C = TypeVar("C", bound=Claim)


def kinds(made: Compiled, kind: type[C]) -> list[C]:
    """List the claims of one kind."""
    return [c for c in made.explanation.claims if isinstance(c, kind)]


@pytest.mark.parametrize("variant", OWN, ids=lambda v: v.name)
def test_the_way_a_response_is_pushed(variant: Variant) -> None:
    """`raises` means a slope that is never above 0, whatever the row, and `lowers` never below."""
    made, rng = compiled(variant), random.Random(variant.name)
    rows = [example(rng, variant) for _ in range(40)]
    found = slopes(made, rows)
    far = slopes(made, [example(rng, variant, spread=30.0) for _ in range(40)])
    for c in kinds(made, Push):
        if c.way is Way.EITHER:
            values = [x for row in (*far, *found) for x in row[c.response]]
            assert min(values) < 0 < max(values)
        elif c.way is Way.BY_LABEL:
            assert all(
                (x <= 0) == row["label"] for row, s in zip(rows, found, strict=True) for x in s[c.response]
            )
        elif c.when is When.ALWAYS and c.way in (Way.RAISES, Way.LOWERS):
            way = -1 if c.way is Way.RAISES else 1
            assert all(x * way >= 0 for s in found for x in s[c.response])


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_what_holds_before_the_first_step(variant: Variant) -> None:
    """Step-0 values hold on any batch in which the policy is the reference."""
    made = compiled(variant)
    drawn = numbers(random.Random(variant.name), made, 5)
    for name in drawn:
        model, _, response = name.partition("/")
        if model in made.needs.anchors:
            drawn[name] = drawn[f"policy/{response}"]
    known = given(drawn, made.loss.outputs)
    values = {m.name: evaluate(m.value, known) for m in made.loss.metrics}
    said = {c.metric: c.value for c in kinds(made, StepZero)}
    assert said == made.needs.step0
    for name, expected in said.items():
        assert values[name] == pytest.approx(expected, rel=1e-12, abs=1e-12), name
    for c in kinds(made, SlopeAtStart) if variant.kind == "pairwise" and variant.preset != "aot" else ():
        row = example(random.Random(1), variant)
        for y in row.values():
            y["ref_logp"] = y.get("logp")
        at = at_point(made.loss, {"examples": [row]}, possible=False)["examples"][0]["gradient"][c.response]
        assert at.get("logp", at.get("score")) == pytest.approx(c.value, rel=1e-12)


STEP0_LOSS = {
    "dpo": 0.6931471805599453, "ipo": 25.0, "hinge": 1.0, "gpo_exponential": 1.0, "apo_zero": 1.0, "apo_down": 1.0,
    "nca": 1.3862943611198906, "aot": 0.6931471805599453, "bco": 1.3862943611198906, "kto": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("preset", STEP0_LOSS)
def test_first_losses(preset: str) -> None:
    assert compiled(Variant(preset)).needs.step0["loss"] == pytest.approx(STEP0_LOSS[preset], rel=1e-12)


FREE = {"dpo", "robust_dpo", "ipo", "hinge", "gpo_exponential", "r_dpo", "exo", "discopop", "wpo", "aot"}


@pytest.mark.parametrize("variant", [v for v in ALL if v.kind == "pairwise"], ids=lambda v: v.name)
def test_gauge(variant: Variant) -> None:
    """Only losses of the margin alone leave the absolute log-probabilities free."""
    said = [c.way for c in kinds(compiled(variant), Shift)]
    mean = variant.preset == "simpo" or variant.given.get("reduce") == "mean"
    same_as_dpo = variant.given.get("divergence") == "reverse_kl"
    if variant.preset == "reward_model":
        assert said == []
    elif variant.preset == "ld_dpo":
        assert said == [ShiftWay.BY_TOKEN]
    elif mean:
        assert said == [ShiftWay.SAME_MEANS]
    elif variant.preset in FREE or same_as_dpo:
        assert said == [ShiftWay.SAME]
    else:
        assert said[0] not in (ShiftWay.SAME, ShiftWay.SAME_MEANS, ShiftWay.BY_TOKEN)


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_every_symbol_of_the_formula_is_explained(variant: Variant) -> None:
    """A name with something below it, such as u_w, stands in the definitions or among the values."""
    said = compiled(variant).explanation
    explained = {w.symbol for w in said.where} | {v.symbol for v in said.values}
    formula = " ".join([said.formula, *said.losses, *(w.definition for w in said.where)])
    used = set(re.findall(r"(?<![\w′])(?:[a-zα-ωΔū]_[wlymir]|λ_[DU]|[βγαηδετz]₀?|z₀)(?![\w_(])", formula))
    plain = used - {"y_w", "y_l", "y_i", "x_i", "x_j", "i", "x"}
    assert {s for s in plain if s not in explained} <= {"y_m"}


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_the_text_fits_a_terminal(variant: Variant) -> None:
    """Beside definitions, which are not broken, no line is longer than 110 columns."""
    lines = show(compiled(variant).explanation).splitlines()
    assert not [line for line in lines if len(line) > 112 and not line.startswith(("  ", "values"))]
    assert all(line == line.rstrip() for line in lines)


def test_values_say_where_they_come_from() -> None:
    made = compiled(Variant("dpo", given={"beta": 0.3, "label_smoothing": 0.2}))
    assert {v.field: v.value for v in made.explanation.values} == {"beta": 0.3, "label_smoothing": 0.2}
    assert all("spec.yaml:1:" in v.origin for v in made.explanation.values)


@pytest.mark.parametrize(
    ("anchor", "what"),
    [
        ("ema", "the moving average of the policy's weights"),
        ("previous_iterate", "the policy at the start of a rollout"),
    ],
)
def test_an_anchor_that_moves_has_no_fixed_optimum(anchor: str, what: str) -> None:
    """π = ref·exp(R/β)/Z holds for the reference of one rollout, and the next one's is another."""
    kl = {"estimator": "k2", "placement": "loss", "granularity": "sequence", "beta": 0.1}
    fixed, moving = (
        compiled_online(
            Online(
                "", {"preset": "dr_grpo", "kl": {**kl, "anchor": each}, "terms": {"policy": SUMMED}}, Method()
            )
        ).explanation.said(Section.OPTIMUM)
        for each in ("initial", anchor)
    )
    rests = "policy: ascent on the policy's own samples rests at π = ref·exp(R/β′)/Z (Gibbs)"
    assert fixed[0].startswith(rests)
    assert "no fixed optimum" not in fixed[0]
    assert moving[0].startswith(rests)
    assert what in moving[0]
    assert "there is no fixed optimum" in moving[0]


SUMMED = {"aggregation": "sequence_mean"}


def test_a_reward_of_no_weight_is_logged_alone() -> None:
    verifiers = [{"kind": "verifier", "name": "exact_match", "weight": 0}]
    verifiers.append({"kind": "verifier", "name": "length", "limit": 9, "weight": -0.5})
    made = compiled_online(Online("", {"preset": "rloo"}, Method(), data={"reward": verifiers})).explanation
    assert made.said(Section.ROLLOUT)[1:3] == [
        "R = -0.5·verifier length",
        "only logged, because the weight is 0: verifier exact_match",
    ]
    told = {m.name: m.healthy for m in made.logged}
    assert told["rewards/exact_match/mean"] == "any value, because its weight is 0"
    assert told["rewards/length/mean"] == "falls, because its weight is negative"


def test_signs() -> None:
    logp, n = b.sum_over("token", Logp("policy", "chosen")), Length("chosen")
    half = Parameter("half", "h", 0.5, Unit(), "")
    x = Column("margin", None, Unit())
    cases = [
        (b.constant(0), 0), (b.negate(n), -1), (logp, -1), (b.multiply(logp, logp), 1), (b.power(x, 2), 1),
        (b.subtract(b.ONE, half), 1), (b.apply("log_sigmoid", x), -1), (b.apply("tanh", x), None), (x, None),
        (b.add(b.apply("sigmoid", x), b.constant(1)), 1), (b.subtract(b.apply("sigmoid", x), b.constant(1)), None),
        (b.divide(b.constant(-2), n), -1),
    ]  # fmt: skip
    for node, expected in cases:
        assert sign(node) == expected
    assert inputs(logp)
