"""The emitted `loss.py` against the evaluator, over tensors that are padded and split."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from alignc.api import Compiled
from alignc.graph.evaluate import evaluate

from ..batches import given, numbers
from ..emitted import run_split
from .properties import Case, Property

__all__ = ["EMITTED"]

ROWS = 5


def emitted(case: Case) -> Iterator[str]:
    """The loss of `loss.py` is that of the graph, whole and in two micro-batches, and its gradient has no NaN."""
    for part in case.parts:
        yield from _emitted(part, case.drawn.seed)


def _emitted(part: Compiled, seed: int) -> Iterator[str]:
    drawn = numbers(random.Random(seed), part, ROWS)
    expected = evaluate(part.loss.root, given(drawn, part.loss.outputs))
    if not math.isfinite(expected) or abs(expected) > 1e100:
        return
    for splits in ([list(range(ROWS))], [[0, 3], [1, 2, 4]]):
        loss, _, gradients = run_split(part, drawn, splits)
        if not math.isclose(loss, expected, rel_tol=1e-9, abs_tol=1e-9):
            yield f"loss.py gives {loss!r} in {len(splits)} parts, the graph {expected!r}"
        for name, slopes in gradients.items():
            if slopes.isnan().any():
                yield f"loss.py has a gradient of NaN on {name} in {len(splits)} parts"


EMITTED: Mapping[str, Property] = {"source": emitted}
"""The properties that import torch."""
