"""The words of each kind of claim, as pieces of text and mathematics; every format prints these pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alignc.claims.kinds import descent as d
from alignc.claims.kinds import spec as s
from alignc.claims.model import Claim, Push, Shift, ShiftWay, Slope, SlopeAtStart, StepZero, Way, When
from alignc.contract.baselines import BASELINES
from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import RESPONSES
from alignc.graph.nodes import Node, Output
from alignc.printers.dialect import number
from alignc.theory.kinds import Kind

__all__ = ["Derivative", "Formula", "Piece", "pieces", "title_of"]


@dataclass(frozen=True)
class Formula:
    """A graph within a sentence."""

    node: Node


@dataclass(frozen=True)
class Derivative:
    """An equation: the derivative of the loss, of a row or of the batch, by a trained output."""

    leaf: Node
    response: str
    value: Node
    by_row: bool


Piece = str | Formula | Derivative


def pieces(claim: Claim) -> tuple[Piece, ...]:
    """Write a claim as pieces of text and mathematics."""
    found = WORDS[type(claim)](claim)
    return (found,) if isinstance(found, str) else tuple(found)


# ---- gradient and start -----------------------------------------------------------------------------------------


def _slope(c: Slope) -> tuple[Piece, ...]:
    equation = Derivative(c.leaf, c.response, c.value, c.by_row)
    moves = OUTPUTS[c.leaf.quantity].moves if isinstance(c.leaf, Output) else ""
    return (equation, f": {moves}") if moves else (equation,)


def _push(c: Push) -> str:
    name = f"{c.response} {RESPONSES[c.response].text}"
    start = c.when is When.START
    words = {
        Way.RAISES: f"raises the {name}",
        Way.LOWERS: f"lowers the {name}",
        Way.KEEPS: f"does not change the {name}",
        Way.BY_LABEL: f"raises the {name} if its label is true, and lowers it if the label is false",
        Way.AGAINST_LABEL: f"lowers the {name} if its label is true, and raises it if the label is false",
        Way.BY_ADVANTAGE: (
            "raises a response with a positive advantage, and lowers a response with a negative advantage"
        ),
        Way.EITHER: f"raises or lowers the {name}, depending on the row",
        Way.UNDECIDED: f"it is undecided whether each step moves the {name} the same way",
    }[c.way]
    return f"at first, it {words}" if start else words


def _slope_at_start(c: SlopeAtStart) -> str:
    return f"{number(round(c.value, 6))} at the start"


SHIFTS = {
    ShiftWay.SAME: (
        "the coefficients cancel: the loss stays the same if both log-probabilities fall by the same amount,"
        " so both may fall together"
    ),
    ShiftWay.SAME_MEANS: (
        "the coefficients cancel token by token: the loss stays the same if both means per token fall by the same"
        " amount, so both may fall together"
    ),
    ShiftWay.RISES: (
        "the coefficients do not cancel: the loss rises if both log-probabilities fall by the same amount,"
        " so it holds them up"
    ),
    ShiftWay.FALLS: (
        "the coefficients do not cancel: the loss falls if both log-probabilities fall by the same amount,"
        " so it pulls them down"
    ),
    ShiftWay.DEPENDS: (
        "the coefficients do not cancel: if both log-probabilities fall by the same amount, the loss rises in some"
        " rows and falls in others, so it does not hold them in general"
    ),
    ShiftWay.BY_TOKEN: "the coefficients differ between the tokens of a response",
    ShiftWay.UNDECIDED: (
        "the coefficients do not cancel; it is undecided whether the loss rises in each row if both"
        " log-probabilities fall by the same amount"
    ),
}


def _step_zero(c: StepZero) -> str:
    return f"{c.metric} {number(round(c.value, 6))}"


# ---- descent and ascent -----------------------------------------------------------------------------------------

PLACES = {"reward": "in the reward", "loss": "in the loss", "ratio": "under a differentiated ratio"}
AT = {
    When.ALWAYS: "",
    When.START: "before the first step, ",
    When.FIRST: "at the first update of each rollout, ",
    When.OWN: "on samples of the policy, ",
}
NOT_KL = (Kind.REVERSE, Kind.VARIATION)
AMONG = {
    d.Lengths.ANY: "",
    d.Lengths.EQUAL: ", if all responses have the same length",
    d.Lengths.ONE: ", for responses of one token",
}
MANY = ", in the limit of many responses per rollout"
STEP = "; token by token: each token is pulled given its prefix, but is not charged for later prefixes"
PAID = "; the estimates of the tokens of a response are added up"


def _named(kind: Kind, divergence: str, counted: d.Counted) -> str:
    """Name a divergence, and say where it is not the usual one of whole responses."""
    shown = f"the stepwise {divergence}" if counted is d.Counted.STEPWISE else divergence
    return f"{shown}, not KL(π‖ref)" if kind in NOT_KL else shown


def _descends(c: d.Descends) -> str:
    at = AT[c.when]
    if c.placement == "both":
        where = f"{c.estimator} in the reward and, with equal strength, in the loss"
        return f"{where}: {at}both together descend {c.divergence} of whole responses"
    head = f"{c.term}: {at}{c.estimator} {PLACES[c.placement]}"
    if c.kind is Kind.NULL:
        return f"{head} descends {c.divergence} in expectation: the term is noise"
    inside = f", while |u| is at most {c.clamp:g} nat" if c.clamp is not None else ""
    moves = f"; ref is {c.moving}, which follows the policy" if c.moving else ""
    critic = ", if the critic is exact" if c.exact_critic else ""
    moves = f"{critic}{MANY if c.many else ''}{moves}"
    end = {d.Counted.STEPWISE: STEP, d.Counted.PAID: PAID}.get(c.counted, "")
    return f"{head} descends {_named(c.kind, c.divergence, c.counted)}{AMONG[c.lengths]}{inside}{moves}{end}"


def _pull(c: d.Pull) -> tuple[Piece, ...]:
    return f"{c.term}: the coefficient on ∇log π is g(u) = ", Formula(c.g)


def _anchor(c: d.RestsAtAnchor) -> str:
    if c.rests:
        return f"{c.term}: {c.estimator} on given data without weights rests at the anchor; elsewhere it has no ∇KL"
    return f"{c.term}: {c.estimator} on given data without weights pushes the policy away from the anchor"


WORTH = {"reward": "E[R]", "win_rate": "E[P]"}


def _strength(beta: float, factor: float, among: int) -> tuple[str, str]:
    """Name the strength of a KL: β itself, or what remains of it."""
    if abs(factor - 1) < 1e-12:
        return "β", ""
    k = f", of {among} responses that share their mean" if among else ""
    return "β′", f", β′ = {beta:.4g}{k}"


def _ascends(c: d.Ascends) -> str:
    first = "the first update of each rollout" if c.when is When.FIRST else "each update"
    critic = (", if the critic is exact" if c.exact_critic else "") + (MANY if c.many else "")
    head = f"{c.term}: {first} ascends {WORTH[c.worth]}"
    if c.kind is None:
        return f"{head}{AMONG[c.lengths]}{critic}"
    beta, what = _strength(c.beta, c.factor, c.among)
    name = f"the stepwise {c.divergence}" if c.counted is d.Counted.STEPWISE else c.divergence
    paid = PAID if c.counted is d.Counted.PAID else ""
    return f"{head} − {beta}·{_braced(name)}{what}{AMONG[c.lengths]}{critic}{paid}"


def _braced(name: str) -> str:
    return name if name.startswith("KL(") and name.endswith(")") else f"[{name}]"


def _later(c: d.LaterAscends) -> str:
    if not c.beta:
        return f"{c.term}: later updates ascend E[R] too"
    return f"{c.term}: later updates ascend E[R] − β·KL(π‖ref) + β·KL(π‖old): the penalty stays that of the rollout"


def _later_differs(c: d.LaterDiffers) -> str:
    why = (
        "without a ratio, the gradient is biased"
        if not c.ratio
        else "the gradient is that of fresh samples only near it"
    )
    parts = [
        *(["the ratio is bounded"] if c.bounded else []),
        *(["states are weighted as under the older policy"] if c.by_token else []),
    ]
    more = f" ({'; '.join(parts)})" if parts else ""
    return f"{c.term}: from the second update on, samples come from an older policy: {why}{more}"


FORMS = {
    d.Form.GIBBS: "π = ref·exp(R/{beta})/Z (Gibbs)",
    d.Form.HYPERBOLIC: "π = ref·{beta}/({beta} + ν − R) (hyperbolic, not Gibbs)",
    d.Form.EQUATION: "a policy with g(log w) = (R − ν)/{beta}, w = π/ref",
}


def _rests(c: d.RestsAt) -> str:
    beta, what = _strength(c.beta, c.factor, c.among)
    form = FORMS[c.form].format(beta=beta)
    critic = (", if the critic is exact" if c.exact_critic else "") + (MANY if c.many else "")
    moves = f"; ref is {c.moving}, so there is no fixed optimum" if c.moving else ""
    adapts = "; β follows its controller" if c.adaptive else ""
    head = f"{c.term}: ascent on the policy's own samples rests at {form}{what}"
    return f"{head}{AMONG[c.lengths]}{critic}{moves}{adapts}"


NOWHERE = {
    Kind.NULL: "only the reward decides, and nothing holds the policy near the reference",
    Kind.COLLAPSE: "near the reference, nothing holds the policy there, and the penalty itself drops responses",
}


def _no_rest(c: d.NoRest) -> str:
    return (
        f"{c.term}: no optimum: {NOWHERE.get(c.kind, 'near the reference, nothing holds the policy there')}"
    )


def _undecided(c: d.Undecided) -> str:
    return f"{c.what} is undecided: {'; '.join(c.known)}"


# ---- the spec ---------------------------------------------------------------------------------------------------


def _stated(c: s.Stated) -> str:
    return c.template.format(**{b.name: _value(b.value) for b in c.bound})


def _value(value: object) -> str:
    return (
        number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    )


def title_of(c: s.Variant) -> str:
    """Name a method: a preset, or a variant of it with the axes that the spec changed."""
    changed = ", ".join(f"{axis}: {value}" for axis, value in c.axes)
    return f"{c.title}, a variant with {changed}" if changed else c.title


def _variant(c: s.Variant) -> str:
    return f"{title_of(c)}{f' ({c.paper})' if c.paper else ''}"


OVER = {
    "rows": "L is the mean of ℓ, the loss of a row, over the rows of the global batch",
    "tokens": "L is a mean over all tokens of the global batch",
    "both": "each part of L is a mean over the rows (N), or over all tokens, of the global batch",
}


def _scaling(c: s.Scaling) -> str:
    if c.coupled:
        return f"{OVER[c.over]}; a row reads other rows: each step has one more forward without gradient"
    return f"{OVER[c.over]}; each split over processes and micro-batches gives the same result"


def _model(c: s.ModelRole) -> str:
    work = "forward and backward" if c.trained else "forward"
    times = f"{c.forwards} {work} per {'response' if c.grouped else 'row'}"
    if c.trained and c.silent:
        times += f", and {c.silent} forward without backward"
    return f"{c.role}: {c.weights}; {times}{'; computed once, then cached' if c.cached else ''}"


def _recurrence(c: s.Recurrence) -> str:
    if not c.penalty:
        paid = f"R_t = 1[t = T]·{c.earned}"
    elif c.by_token:
        paid = f"R_t = −{c.penalty} + 1[t = T]·{c.earned}"
    else:
        paid = f"R_t = 1[t = T]·({c.earned} − {c.penalty})"
    gamma = f"{number(c.discount)}·" if c.discount != 1 else ""
    if c.decay is not None:
        sums = f"δ_t = R_t + {gamma}V_(t+1) − V_t;  A_t = δ_t + {number(c.decay)}·A_(t+1);  G_t = A_t + V_t"
    else:
        sums = f"G_t = R_t + {gamma}G_(t+1);  {_above(c)}"
    white = (
        ";  A is then whitened to mean 0 and variance 1 over the tokens of the rollout" if c.whiten else ""
    )
    return f"{paid};  {sums}{white}"


def _above(c: s.Recurrence) -> str:
    row = BASELINES[c.baseline]
    level = number(c.level) if row.text == "b" else row.text
    if c.std is None:
        return f"A_t = G_t − {level}" if level else "A_t = G_t"
    ddof, epsilon = c.std
    free = "k − 1" if ddof else "k"
    return (
        f"A_t = (G_t − {level})/(s + {number(epsilon)}), where s is the standard deviation of G_1 over the responses"
        f" to the prompt, with the divisor {free}"
    )


def _endless(c: s.Endless) -> str:
    return (
        f"{c.term}: the loss falls as long as the margin grows: if one response of a pair always wins, no finite"
        " margin is best; if labels are noisy, the best margin is finite"
    )


def _turns(c: s.Turns) -> str:
    low = _places("minimum", c.low)
    high = f" and {_places('maximum', c.high)}" if c.high else ""
    return f"{c.term}: as a function of its margin z, the loss of a pair has {low}{high}"


def _places(what: str, found: tuple[float, ...]) -> str:
    shown = " and ".join(f"z = {x:.3g}" for x in found)
    return (
        f"a {what} at {shown}"
        if len(found) == 1
        else f"{'minima' if what == 'minimum' else 'maxima'} at {shown}"
    )


def _unbounded(c: s.Unbounded) -> str:
    return f"{c.term}: the loss of a single pair has no lower bound: it falls at a constant rate as its margin grows"


def _win_rates(c: s.WinRateOptimum) -> str:
    eta = f"{number(c.eta)}" + (f"/{number(c.beta)}" if c.beta != 1 else "")
    if c.exact:
        return (
            f"{c.term}: on samples of the anchor, π = anchor·exp({eta}·P)/Z, a step of multiplicative weights,"
            " up to the error in the estimate of Z"
        )
    b = "the mean win rate" if isinstance(c.baseline, str) else number(c.baseline)
    t = "η·(P − b)" + ("/β" if c.beta != 1 else "")
    return (
        f"{c.term}: on samples of the anchor, u = t − W(κ·e^t) with t = {t} = {eta}·(P − b) and b = {b};"
        " W is Lambert's function, and κ makes π sum to 1"
    )


WORDS: Mapping[type[Claim], Callable[[Any], str | tuple[Piece, ...]]] = {
    Slope: _slope,
    Push: _push,
    SlopeAtStart: _slope_at_start,
    Shift: lambda c: SHIFTS[c.way],
    StepZero: _step_zero,
    d.Descends: _descends,
    d.Pull: _pull,
    d.RestsAtAnchor: _anchor,
    d.Ascends: _ascends,
    d.LaterAscends: _later,
    d.LaterDiffers: _later_differs,
    d.RestsAt: _rests,
    d.NoRest: _no_rest,
    d.Undecided: _undecided,
    s.Stated: _stated,
    s.Prose: lambda c: c.text,
    s.Variant: _variant,
    s.Scaling: _scaling,
    s.ModelRole: _model,
    s.Recurrence: _recurrence,
    s.Endless: _endless,
    s.Turns: _turns,
    s.Unbounded: _unbounded,
    s.WinRateOptimum: _win_rates,
}
