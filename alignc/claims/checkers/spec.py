"""Check what restates the spec: values against its fields, and formulas against numbers."""

from __future__ import annotations

import json
import math
import random
import re
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from alignc.claims.checkers.batches import within
from alignc.claims.kinds.spec import (
    Bound,
    Endless,
    ModelRole,
    Recurrence,
    Scaling,
    Stated,
    Turns,
    Unbounded,
    Variant,
)
from alignc.claims.model import Outcome, Section, Subject, Verdict
from alignc.claims.numbers import draw
from alignc.contract.baselines import CONSTANT, LEAVE_ONE_OUT, NO_BASELINE, OTHER
from alignc.contract.models import POLICY
from alignc.contract.needs import Advantage
from alignc.graph.build import ONE, in_unit
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Logp, Node, Output, Parameter
from alignc.graph.rewrite import inputs, substitute, without_names
from alignc.graph.walk import walk
from alignc.load.load import Loaded, load
from alignc.lower.loss import Loss
from alignc.lower.lower import lower
from alignc.printers.formula import text
from alignc.printers.terms import objective, term_losses
from alignc.verify.returns import group_advantages

__all__ = [
    "check_endless",
    "check_model",
    "check_recurrence",
    "check_scaling",
    "check_stated",
    "check_turns",
    "check_unbounded",
    "check_variant",
]


def _verdict(holds: bool, evidence: str = "") -> Verdict:
    return Verdict(Outcome.HOLDS if holds else Outcome.REFUTED, evidence)


# ---- values of the spec -----------------------------------------------------------------------------------------


def check_stated(claim: Stated, subject: Subject) -> Verdict:
    """Read each value of the sentence from the spec again."""
    for bound in (*claim.bound, *claim.holds_while):
        found = _product(subject.spec, bound)
        if found != bound.value:
            return _verdict(False, f"{' · '.join(bound.paths)} is {found}, not {bound.value}")
    loose = (
        re.findall(r"(?<![\w.])\d{2,}", claim.template)
        if claim.bound and claim.part is Section.ROLLOUT
        else []
    )
    return _verdict(
        not loose, f"{loose} comes from no field" if loose else f"{len(claim.bound)} values of the spec"
    )


def _product(spec: Loaded, bound: Bound) -> Any:
    values = [_field(spec, path) for path in bound.paths]
    return values[0] if len(values) == 1 else math.prod(values)


def _field(spec: Loaded, path: str) -> Any:
    first, *rest = path.split(".")
    job = spec.job if first == "data" else (spec.whole or spec).job
    node: Any = next((t for t in spec.job.objective.terms if t.name == first), None) or getattr(job, first)
    for step in rest:
        node = getattr(node, step, None)
    return node


# ---- the name of the method -------------------------------------------------------------------------------------


def check_variant(claim: Variant, subject: Subject) -> Verdict:
    """Compare the loss with that of the preset with the same numbers, for the same kind of data."""
    if not claim.preset:
        return _verdict(subject.spec.preset is None, "the spec names no preset of its own")
    axes = {axis for axis, _ in claim.axes}
    numbers = {
        name: bound.value
        for name, bound in subject.spec.parameters.items()
        if bound.parameter.type in ("number", "integer") and name not in axes
    }
    own = _form(subject.loss)
    try:
        same = _form(_preset(claim.preset, numbers, subject)) == own
        if not same and not claim.axes:  # a number may be laid over, with the preset's own
            same = _form(_preset(claim.preset, {}, subject)) == own
    except Exception as error:
        return Verdict(Outcome.UNDECIDED, f"the preset alone does not lower here: {error}"[:200])
    if same and claim.axes:
        return _verdict(False, "the loss has the form of the preset")
    if not same and not claim.axes and any(p.value == 1 for p in subject.loss.parameters):
        return Verdict(Outcome.UNDECIDED, "a factor of 1 is not written in the form of the loss")
    return _verdict(same or bool(claim.axes), "the form of the loss, beside its numbers")


def _preset(name: str, numbers: Mapping[str, Any], subject: Subject) -> Loss:
    """Lower a preset alone, for the data of a spec."""
    data = subject.spec.job.data
    spec = {
        "version": 1,
        "objective": {"preset": name, **numbers},
        "data": {**data.model_dump(mode="json", exclude_defaults=True), "kind": data.kind},
        "model": {"policy": {"init": "llama", "tokenizer": "bytes"}},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "preset.yaml"
        file.write_text(json.dumps(spec), "utf-8")
        return lower(load(file).lookup)


def _form(loss: Loss) -> list[str]:
    """Write a loss without its numbers; a factor of 1 is left out."""
    out = loss.written_out
    nodes = [objective(loss), *(n.argument for n in term_losses(loss)), *(n.argument for n in loss.named)]
    shown = [text(_without_ones(n), out) for n in nodes] + [text(without_names(n)) for n in loss.penalties]
    how = loss.advantage
    if how is not None:
        std = how.baseline.settings.get("std")
        shown.append(f"{how.reward} {how.granularity} {how.baseline.kind} {std} {how.whiten}")
    return [re.sub(r"ε_[lh]", "ε", re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", line)) for line in shown]


def _without_ones(node: Node) -> Node:
    ones: dict[Node, Node] = {
        n: in_unit(ONE, n.type.unit) for n in walk(node) if isinstance(n, Parameter) and n.value == 1
    }
    return substitute(node, ones)


# ---- the job ----------------------------------------------------------------------------------------------------


def check_scaling(claim: Scaling, subject: Subject) -> Verdict:
    """Double each row of a batch: means stay, and what is claimed to be a mean is one."""
    root, rng, worst = subject.loss.root, random.Random(41), 0.0
    for rows in (2, 3):
        given = draw(rng, (root,), rows=rows)
        twice: dict[Node, Any] = {n: v * 2 if isinstance(v, list) else v for n, v in given.items()}
        one, two = (float(evaluate(root, g)) for g in (given, twice))
        worst = max(worst, abs(one - two) / (1 + abs(one)))
        alone = [float(evaluate(root, _row(given, i))) for i in range(rows)]
        if not claim.coupled and claim.over == "rows":
            worst = max(worst, abs(math.fsum(alone) / rows - one) / (1 + abs(one)))
    if claim.coupled is not bool(subject.needs.statistics):
        return _verdict(False, "whether a row reads other rows is another")
    if math.isfinite(worst) and claim.over != "rows" and not _uneven(root):
        return _verdict(False, "the batch is a mean over rows")
    return within(worst, 1e-9, "batches, and their rows one by one")


def _row(given: dict[Node, Any], row: int) -> dict[Node, Any]:
    return {n: [v[row]] if isinstance(v, list) else v for n, v in given.items()}


def _uneven(root: Node) -> bool:
    """Find a batch whose loss is not the mean of those of its rows."""
    return any(_unlike_rows(root, seed) for seed in range(42, 50))


def _unlike_rows(root: Node, seed: int) -> bool:
    given = draw(random.Random(seed), (root,), rows=3)
    alone = [float(evaluate(root, _row(given, i))) for i in range(3)]
    gap = abs(math.fsum(alone) / 3 - float(evaluate(root, given)))
    return not gap <= 1e-9


def check_model(claim: ModelRole, subject: Subject) -> Verdict:
    """Count the responses whose log-probabilities the loss reads under the policy."""
    if claim.role != POLICY:
        return _verdict(not claim.trained or claim.role == "critic", "a model beside the policy is frozen")
    leaves = inputs(*subject.loss.outputs)
    read = {n.response for n in leaves if isinstance(n, Logp | Output) and n.model == POLICY}
    rows = set(subject.needs.responses)
    holds = claim.trained and claim.forwards + claim.silent == len(rows) and read <= rows
    return _verdict(holds, f"a row has {len(rows)} responses, of which the loss reads {len(read)}")


# ---- advantages -------------------------------------------------------------------------------------------------


def check_recurrence(claim: Recurrence, subject: Subject) -> Verdict:
    """Compute the advantages of random groups by the recurrences, and compare them with the rollout's."""
    how = subject.loss.advantage
    if how is None:
        return _verdict(False, "the rollout computes no advantage")
    rng, worst = random.Random(43), 0.0
    for _ in range(3):
        lengths = [rng.randint(1, 4) for _ in range(2 if how.baseline.kind == OTHER.name else 4)]
        amounts = [[rng.gauss(0, 1) for _ in range(n)] for n in lengths]
        values = [[rng.gauss(0, 1) for _ in range(n)] for n in lengths]
        wanted = group_advantages(how, amounts, values)
        found = _advantages(claim, amounts, values)
        worst = max(
            worst,
            *(abs(x - y) for a, w in zip(found, wanted, strict=True) for x, y in zip(a, w, strict=True)),
        )
    if not _paid_alike(claim, how):
        return _verdict(False, "what a token is paid is another")
    return within(worst, 1e-9, "advantages of random groups")


def _paid_alike(claim: Recurrence, how: Advantage) -> bool:
    by_token = how.granularity != "sequence"
    earned = "P" if how.reward == "win_rate" else "R"
    return claim.earned == earned and bool(claim.penalty) is how.penalty and claim.by_token is by_token


def _advantages(
    claim: Recurrence, amounts: list[list[float]], values: list[list[float]]
) -> list[list[float]]:
    if claim.decay is not None:
        found = [_critic(claim, a, v) for a, v in zip(amounts, values, strict=True)]
    else:
        sums = [_backwards(a, claim.discount) for a in amounts]
        found = _above(claim, sums)
    if not claim.whiten:
        return found
    every = [x for row in found for x in row]
    mean = sum(every) / len(every)
    spread = math.sqrt(sum((x - mean) ** 2 for x in every) / (len(every) - 1) + 1e-8)
    return [[(x - mean) / spread for x in row] for row in found]


def _backwards(paid: list[float], decay: float) -> list[float]:
    """Follow x_t = paid_t + decay·x_(t+1) from the last token."""
    found, later = [], 0.0
    for amount in reversed(paid):
        later = amount + decay * later
        found.append(later)
    return found[::-1]


def _critic(claim: Recurrence, paid: list[float], values: list[float]) -> list[float]:
    following = [*values[1:], 0.0]
    errors = [r + claim.discount * n - v for r, n, v in zip(paid, following, values, strict=True)]
    return _backwards(errors, claim.decay or 0.0)


def _above(claim: Recurrence, sums: list[list[float]]) -> list[list[float]]:
    first, k = [row[0] for row in sums], len(sums)
    mean = sum(first) / k
    levels = {
        NO_BASELINE.name: [0.0] * k,
        CONSTANT.name: [claim.level] * k,
        LEAVE_ONE_OUT.name: [(sum(first) - x) / max(1, k - 1) for x in first],
        OTHER.name: first[::-1],
    }.get(claim.baseline, [mean] * k)
    scale = 1.0
    if claim.std is not None:
        ddof, epsilon = claim.std
        scale = math.sqrt(sum((x - mean) ** 2 for x in first) / (k - ddof)) + epsilon
    return [[(x - level) / scale for x in row] for row, level in zip(sums, levels, strict=True)]


# ---- the loss of a pair as a function of its margin -------------------------------------------------------------


def check_endless(claim: Endless, subject: Subject) -> Verdict:
    """Follow the loss as the margin grows, and with a third of the labels turned round."""
    steps = [-20.0, -5.0, -1.0, 0.0, 1.0, 5.0, 20.0, 30.0]
    losses = [float(evaluate(claim.value, {claim.z: z})) for z in steps]
    falls = all(a > b for a, b in pairwise(losses))
    noisy = [(2 * a + b) / 3 for a, b in zip(losses, losses_of(claim, [-z for z in steps]), strict=True)]
    inside = min(noisy) < min(noisy[0], noisy[-1])
    return _verdict(falls and inside, f"the loss goes from {losses[0]:.3g} to {losses[-1]:.3g}")


def losses_of(claim: Endless | Turns | Unbounded, margins: list[float]) -> list[float]:
    """Evaluate the loss of a pair at margins."""
    return [float(evaluate(claim.value, {claim.z: z})) for z in margins]


def check_turns(claim: Turns, subject: Subject) -> Verdict:
    """Compare the loss at each place with that beside it, nearer than the next place."""
    turns = sorted((*claim.low, *claim.high))
    near = min([0.02, *((b - a) / 4 for a, b in pairwise(turns))])
    if near < 1e-3:
        return Verdict(Outcome.UNDECIDED, "the places are too near to each other for differences")
    for places, side in ((claim.low, 1), (claim.high, -1)):
        for place in places:
            at, left, right = losses_of(claim, [place, place - near, place + near])
            if side * (left - at) < 0 or side * (right - at) < 0:
                return _verdict(False, f"the loss does not turn at {place:.4g}")
    return _verdict(bool(claim.low or claim.high), "the loss beside each place")


def check_unbounded(claim: Unbounded, subject: Subject) -> Verdict:
    """Follow the loss far out: each tenfold margin lowers it about tenfold."""
    near, far = losses_of(claim, [1e5, 1e6])
    return _verdict(far < 5 * near < 0, f"{near:.3g} and {far:.3g}")
