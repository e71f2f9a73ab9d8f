"""The emitted `loss.py` against the evaluator, over tensors that are padded and split."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

import torch

from alignc.api import Compiled
from alignc.graph.evaluate import evaluate

from ..batches import given, numbers
from ..emitted import run_split
from .properties import Case, Property

__all__ = ["EMITTED", "emitted_gaps"]

ROWS = 5
SPLITS = ([[0, 1, 2, 3, 4]], [[0, 3], [1, 2, 4]], [[0], [1], [2], [3], [4]])
"""Whole, in two micro-batches, and every row alone, where no place is padded to another row's size."""


def emitted(case: Case) -> Iterator[str]:
    """The loss of `loss.py` is that of the graph in every split, and so is its gradient, without a NaN."""
    for part in case.parts:
        yield from emitted_gaps(part, case.drawn.seed)


def emitted_gaps(part: Compiled, seed: int) -> Iterator[str]:
    """Yield a line for each loss and gradient that is not that of the graph, or of every row alone."""
    drawn = numbers(random.Random(seed), part, ROWS)
    expected = evaluate(part.loss.root, given(drawn, part.loss.outputs))
    if not math.isfinite(expected) or abs(expected) > 1e100:
        return
    runs = [run_split(part, drawn, splits) for splits in SPLITS]
    for splits, (loss, _, gradients) in zip(SPLITS, runs, strict=True):
        if not math.isclose(loss, expected, rel_tol=1e-9, abs_tol=1e-9):
            yield f"loss.py gives {loss!r} in {len(splits)} parts, the graph {expected!r}"
        for name, slopes in gradients.items():
            alone = runs[-1][2][name]
            if not torch.isfinite(alone).all() and not alone.isnan().any():
                continue  # an overflow of the loss itself
            if not torch.allclose(slopes, alone, rtol=1e-9, atol=1e-9):
                yield f"loss.py has another gradient on {name} in {len(splits)} parts than row by row"


EMITTED: Mapping[str, Property] = {"source": emitted}
"""The properties that import torch."""
