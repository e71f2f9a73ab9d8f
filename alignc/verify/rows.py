"""Rows of data for a toy: every row that can be drawn, with its probability."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from alignc.contract.baselines import MEAN_WIN_RATE, PARTITIONS
from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, MISMATCHED, REJECTED
from alignc.graph.nodes import Column
from alignc.graph.walk import walk
from alignc.lower.loss import Loss
from alignc.spec.views import View
from alignc.verify.toy import Array, Row, Toy, log_softmax

__all__ = ["GROUP_SIZE", "average_rate", "demonstrations", "labels_of", "orders", "rows_of_data", "win_rates"]

GROUP_SIZE = 3


def labels_of(toy: Toy, noise: str, flips: float = 0.0) -> Array:
    """Give P(i preferred to j) for all pairs: Bradley-Terry of the rewards (`noisy`), or certain (`certain`).

    `flips`: the share of labels that is turned round afterwards.
    """
    gap = toy.rewards[:, None] - toy.rewards[None, :]
    clean = 1 / (1 + np.exp(-gap)) if noise == "noisy" else (np.sign(gap) + 1) / 2
    found: Array = clean * (1 - flips) + (1 - clean) * flips
    return found


def win_rates(toy: Toy) -> Array:
    """Give each response's probability to beat a sample of the sampler."""
    found: Array = labels_of(toy, "noisy") @ np.exp(toy.sampler)
    return found


def average_rate(toy: Toy, eta: float, baseline: float | str) -> float:
    """Give what stands for the log-partition: a constant, the mean win rate, or log Z/η of the sampler's responses."""
    if not isinstance(baseline, str):
        return baseline
    law, rates = np.exp(toy.sampler), win_rates(toy)
    if baseline == MEAN_WIN_RATE.name:
        return float(law @ rates)
    top = float(rates.max())
    return top + float(np.log(law @ np.exp(eta * (rates - top)))) / eta


def rows_of_data(
    loss: Loss, toy: Toy, *, noise: str = "noisy", flips: float = 0.0, size: int = GROUP_SIZE
) -> list[Row]:
    """List the rows of a loss's data, responses drawn independently by the sampler; a group has `size` of them."""
    seen, law = loss.view, np.exp(toy.sampler)
    rows = list(_drawn(seen, toy, law, labels_of(toy, noise, flips), size))
    if any(getattr(n, "response", None) == MISMATCHED for n in walk(*loss.outputs)):
        rows = [_with_mismatched(r, m, float(p)) for r in rows for m, p in enumerate(law)]
    wanted = {
        n.name if n.response is None else f"{n.name}/{n.response}"
        for n in walk(loss.root)
        if isinstance(n, Column)
    }
    given = _of_rollouts(loss, toy, wanted)
    return [
        Row(r.weight, r.parts, {**{k: v for k, v in r.columns.items() if k in wanted}, **given}) for r in rows
    ]


def _of_rollouts(loss: Loss, toy: Toy, wanted: set[str]) -> dict[str, float]:
    """Give the columns that a rollout makes of all responses to a prompt."""
    eta = next((p.value for p in loss.parameters if p.name == "eta" or p.symbol == "η"), 1.0)
    return {n: average_rate(toy, eta, n) for n in PARTITIONS if n in wanted}


def _with_mismatched(row: Row, member: int, probability: float) -> Row:
    return Row(row.weight * probability, {**row.parts, MISMATCHED: member}, row.columns)


def _drawn(seen: View, toy: Toy, law: Array, better: Array, size: int) -> Iterator[Row]:
    if seen.convert == "demonstration":
        yield from _demonstrated(toy, law)
    elif seen.pair:
        yield from _pairs(toy, law, better)
    elif seen.group:
        yield from _groups(toy, law, size)
    else:
        yield from _single(toy, law, better)


def demonstrations(toy: Toy) -> Array:
    """Give the log-probabilities of the toy's demonstrations."""
    return log_softmax(toy.rewards)


def _demonstrated(toy: Toy, law: Array) -> Iterator[Row]:
    """Draw a demonstration, and a response of the sampler."""
    shown = np.exp(demonstrations(toy))
    for w, l in itertools.product(range(toy.size), repeat=2):
        yield Row(float(shown[w] * law[l]), {CHOSEN: w, REJECTED: l}, {"margin": 0.0})


def _pairs(toy: Toy, law: Array, better: Array) -> Iterator[Row]:
    """Draw two different responses, and their label."""
    apart = 1 - float(law @ law)
    for w, l in itertools.permutations(range(toy.size), 2):
        weight = 2 * law[w] * law[l] * better[w, l] / apart
        columns = {"margin": 0.0, **_by_response(toy, {CHOSEN: w, REJECTED: l})}
        if weight > 0:
            yield Row(float(weight), {CHOSEN: w, REJECTED: l}, columns)


def _by_response(toy: Toy, parts: Mapping[str, int]) -> dict[str, float]:
    rates = win_rates(toy)
    found = {}
    for name, member in parts.items():
        found[f"reward/{name}"] = float(toy.rewards[member])
        found[f"win_rate/{name}"] = float(rates[member])
    return found


def _groups(toy: Toy, law: Array, size: int) -> Iterator[Row]:
    """Draw a group of responses, repeats included; their order means nothing."""
    rates = win_rates(toy)
    for group in itertools.combinations_with_replacement(range(toy.size), size):
        columns = {
            "reward/completions": tuple(float(toy.rewards[i]) for i in group),
            "win_rate/completions": tuple(float(rates[i]) for i in group),
            "label/completions": tuple(float(toy.rewards[i] > 0) for i in group),
        }
        weight = math.exp(orders(group)) * float(np.prod(law[list(group)]))
        yield Row(weight, {COMPLETIONS: group}, columns)


def orders(group: Sequence[int]) -> float:
    """Count the orders in which a group may be drawn, as a logarithm: k! over the factorials of the repeats."""
    return math.lgamma(len(group) + 1) - sum(math.lgamma(n + 1) for n in Counter(group).values())


def _single(toy: Toy, law: Array, better: Array) -> Iterator[Row]:
    """Draw one response and its label, which says that it beats another sample."""
    liked = better @ law
    for member in range(toy.size):
        columns = _by_response(toy, {COMPLETION: member})
        for label, chance in ((1.0, liked[member]), (0.0, 1 - liked[member])):
            yield Row(float(law[member] * chance), {COMPLETION: member}, {**columns, "label": label})
