"""Compare expected gradients by enumeration: a small tabular policy, every sample with its probability."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alignc.contract.baselines import PARTITIONS
from alignc.contract.outputs import OUTPUTS, Per
from alignc.contract.responses import GROUP, SINGLE
from alignc.diff.atoms import atom_name
from alignc.diff.decide import rows as without_mean
from alignc.diff.decide import trained_leaves
from alignc.diff.groups import SIZES, formula_in_k
from alignc.diff.sample import Batch, gradients
from alignc.diff.sides import Sampling, Side
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp, Matched, Node, Output, Reduce, Running
from alignc.graph.rewrite import inputs
from alignc.graph.walk import walk

__all__ = [
    "LABELLED",
    "WHEN",
    "Expected",
    "Law",
    "Table",
    "expected",
    "expected_factor",
    "separable",
    "table",
]

ARMS, TABLES, SEED = 4, 5, 7
MOST_MEMBERS = 64
"""The largest group that is enumerated."""


@dataclass(frozen=True)
class Expected:
    """A factor between expected gradients, its formula in k, and under which law; no factor where k is free."""

    factor: float | None
    formula: str | None
    words: str


@dataclass(frozen=True)
class Table:
    """One prompt with a few responses: policies as probabilities, what each response is, and who beats whom."""

    policies: dict[str, tuple[float, ...]]
    sampler: tuple[float, ...]
    columns: dict[str, tuple[float, ...]]
    wins: tuple[tuple[float, ...], ...]
    good: tuple[float, ...]


@dataclass(frozen=True)
class Law:
    """How rows come about."""

    words: str
    on_policy: bool
    reward_is_win_rate: bool = False
    at_start: bool = False
    """The policy is still the one that sampled and the one of the previous iterate."""


WHEN: Mapping[Sampling, Law] = {
    "each_update": Law("in expectation over responses that the policy samples, independently", True),
    "first_update": Law(
        "at the first update of a rollout, in expectation over the responses that the policy sampled", True
    ),
    "iteration": Law(
        "at the first update of an iteration, in expectation over the responses that the policy sampled",
        True,
        at_start=True,
    ),
    "given": Law("if the policy itself sampled the responses, independently: in expectation over them", True),
}
"""The law of the policy's own samples, by when a spec's rows are such samples."""
LABELLED = Law(
    "in expectation over pairs of independent samples of one policy, labelled by P(y ≻ y′), where a response's "
    "reward is its win rate against that policy",
    False,
    reward_is_win_rate=True,
)


def separable(root: Node) -> bool:
    """Tell whether a loss is a mean over independent rows, of responses alone."""
    inner = without_mean(root)
    return not any(
        isinstance(n, Matched | Running)
        or (isinstance(n, Reduce) and n.over == "batch")
        or (isinstance(n, Output) and OUTPUTS[n.quantity].per != Per.PROMPT)
        for n in walk(inner)
    )


def table(rng: random.Random, models: Sequence[str], law: Law, size: int = ARMS) -> Table:
    """Draw a table."""
    policies = {m: _distribution(rng, size) for m in (*models, "l")}
    sampler = policies["l"] if law.on_policy else _distribution(rng, size)
    policies["o"] = sampler
    if law.at_start:
        policies["q"] = policies["l"]
    wins = _wins(rng, size)
    rate = tuple(math.fsum(p * w for p, w in zip(sampler, row, strict=True)) for row in wins)
    free = tuple(rng.uniform(-1, 1) for _ in range(size))
    columns = {
        "R": rate if law.reward_is_win_rate else free,
        "P": rate if law.reward_is_win_rate else tuple(rng.random() for _ in range(size)),
        "n": tuple(float(rng.randint(1, 6)) for _ in range(size)),
    }
    return Table(policies, sampler, columns, wins, tuple(rng.random() for _ in range(size)))


def _distribution(rng: random.Random, size: int) -> tuple[float, ...]:
    weights = [math.exp(rng.uniform(-1.5, 1.5)) for _ in range(size)]
    return tuple(w / sum(weights) for w in weights)


def _wins(rng: random.Random, size: int) -> tuple[tuple[float, ...], ...]:
    upper = {(i, j): rng.random() for i in range(size) for j in range(i + 1, size)}
    return tuple(
        tuple(0.5 if i == j else upper[i, j] if i < j else 1 - upper[j, i] for j in range(size))
        for i in range(size)
    )


Sample = tuple[float, tuple[tuple[str, int], ...], dict[str, float]]
"""The probability of a row, which responses it has, and what else it says."""


def samples(at: Table, responses: tuple[str, ...], size: int) -> Iterator[Sample]:
    """Enumerate rows: single responses with a label, labelled pairs, or groups of a size.

    The order of a group does not matter: each multiset comes once, with the number of its orders.
    """
    arms = range(len(at.sampler))
    if responses == SINGLE:
        for i in arms:
            for label, chance in ((1.0, at.good[i]), (0.0, 1 - at.good[i])):
                yield at.sampler[i] * chance, (("y", i),), {"label": label}
    elif responses == GROUP:
        for group in itertools.combinations_with_replacement(arms, size):
            orders = math.factorial(size)
            for arm in arms:
                orders //= math.factorial(group.count(arm))
            chance = math.exp(math.log(orders) + math.fsum(math.log(at.sampler[i]) for i in group))
            yield chance, tuple((f"i#{n}", i) for n, i in enumerate(group)), {}
    else:
        for i, j in itertools.product(arms, repeat=2):
            yield 2 * at.sampler[i] * at.sampler[j] * at.wins[i][j], (("w", i), ("l", j)), {}


def _row(at: Table, who: tuple[tuple[str, int], ...], extra: dict[str, float]) -> dict[str, float]:
    row = {"V": 0.3, "z0": 0.2, "delta": 0.2, "margin": 0.1, **dict.fromkeys(PARTITIONS, 0.4), **extra}
    for place, arm in who:
        for model, probabilities in at.policies.items():
            row[_joined(model, place)] = math.log(probabilities[arm])
        for column, numbers in at.columns.items():
            row[_joined(column, place)] = numbers[arm]
    return row


def _joined(name: str, place: str) -> str:
    return f"{name}_{place}"


def expected(side: Side, at: Table, leaves: Sequence[Node], size: int = 3) -> list[float]:
    """Compute E[Σ_y c_y · ∂log π(y)/∂θ] over the logits θ of a tabular policy."""
    drawn = list(samples(at, side.responses, size))
    rows = tuple(_row(at, who, extra) for _, who, extra in drawn)
    slopes = [gradient(without_mean(side.root), leaf) for leaf in leaves]
    evenly = {name.partition("#")[0]: "n" for name in rows[0]}
    flat = iter(gradients(slopes, leaves, Batch(rows, (size,) * len(rows), evenly)))
    total = [0.0] * len(at.sampler)
    for leaf in leaves:
        for chance, who, _ in drawn:
            for arm in _arms(leaf, who):
                slope = _per_response(flat, int(at.columns["n"][arm]))
                for theta, probability in enumerate(at.policies["l"]):
                    total[theta] += chance * slope * ((theta == arm) - probability)
    return total


def _per_response(flat: Iterator[float], tokens: int) -> float:
    """Average over a response's tokens, whose log-probabilities move together."""
    return math.fsum(next(flat) for _ in range(tokens)) / tokens


def _arms(leaf: Node, who: tuple[tuple[str, int], ...]) -> list[int]:
    suffix = atom_name(leaf).partition("_")[2]
    return [arm for place, arm in who if place.partition("#")[0] == suffix]


def expected_factor(a: Side, b: Side, law: Law, own: int | None) -> Expected | None:
    """Find the factor between the expected gradients; for groups, at the spec's own size and as a formula in k.

    Groups without a size of their own need a factor that is a formula in k.
    """
    if a.responses != GROUP:
        factor = expected_ratio(a, b, law)
        return None if factor is None else Expected(factor, None, law.words)
    sizes = dict.fromkeys(([own] if own and own <= MOST_MEMBERS else []) + list(SIZES))
    factors: dict[int, float] = {}
    for k in sizes:
        factor = expected_ratio(a, b, law, k)
        if factor is not None:
            factors[k] = factor
        elif k == own or own is None:
            return None
    found = formula_in_k({k: factors[k] for k in SIZES if k in factors})
    if own is None or own not in factors:
        if found is None:
            return None
        return Expected(found.at(own) if own else None if found.form else found.scale, found.words, law.words)
    words = f"{law.words}, {own} to a prompt"
    return Expected(factors[own], found.words if found else None, words)


def expected_ratio(a: Side, b: Side, law: Law, group: int = 3) -> float | None:
    """Find the factor between the expected gradients on every table; None where there is none."""
    leaves = [n for n in trained_leaves((a, b), {}) if isinstance(n, Logp)]
    if not leaves or not (separable(a.root) and separable(b.root)) or _token_level(a, b):
        return None
    models = sorted(
        {atom_name(n).partition("_")[0] for n in inputs(a.root, b.root) if isinstance(n, Logp)} - {"l"}
    )
    rng, left, right = random.Random(SEED), [], []
    arms = ARMS if group <= 8 else 2
    for _ in range(TABLES):
        at = table(rng, models, law, arms)
        left += expected(a, at, leaves, group)
        right += expected(b, at, leaves, group)
        if not all(map(math.isfinite, (*left, *right))):
            return None
        if max(map(abs, right)) < 1e-9 or not _close(left, right):
            return None
    place = max(range(len(right)), key=lambda i: abs(right[i]))
    return float(f"{left[place] / right[place]:.12g}")


def _close(left: Sequence[float], right: Sequence[float]) -> bool:
    place = max(range(len(right)), key=lambda i: abs(right[i]))
    factor = left[place] / right[place]
    room = 1e-10 * max(map(abs, left), default=0.0)
    return factor > 0 and all(abs(x - factor * y) <= room for x, y in zip(left, right, strict=True))


def _token_level(a: Side, b: Side) -> bool:
    return any(gradient(without_mean(s.root), n).type.axis.by_token for s in (a, b)
               for n in trained_leaves((a, b), {}))  # fmt: skip
