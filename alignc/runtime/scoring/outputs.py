"""Score rows that exist for one rollout only: without gradient and without a cache on disk.

The code path and the layout are those of training. With the same split into micro-batches, the scores equal
those of the next forward of training, bit for bit, as long as the policy has not moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..data.example import Example
from .micro import BatchLayout
from .scorer import Scorer

__all__ = ["RowValues", "score_outputs", "score_rows"]

RowValues = tuple[np.ndarray, ...]
"""For each response of a row one number a token, float32 (float64 of a float64 model); () where it was not scored."""


def score_rows(
    scorer: nn.Module,
    examples: Sequence[Example],
    parts: Sequence[Sequence[int]],
    layout: BatchLayout,
    *,
    each: Callable[[], object] = lambda: None,
) -> list[RowValues]:
    """Compute the log-probability of every response token of the rows at the places of ``parts``, in nat.

    ``scorer`` is a scorer, wrapped by an engine or not, or a language model. A part is a micro-batch; an empty one goes
    along with the other ranks' and counts nothing. ``each`` is called after every part. Rows in no part are ().
    """
    return score_outputs(scorer, examples, parts, layout, each=each)["logps"]


@torch.no_grad()
def score_outputs(
    scorer: nn.Module,
    examples: Sequence[Example],
    parts: Sequence[Sequence[int]],
    layout: BatchLayout,
    *,
    each: Callable[[], object] = lambda: None,
) -> dict[str, list[RowValues]]:
    """Compute all that a scorer gives a token, as `score_rows` does: `logps`, and `token_value` or `entropy`."""
    if hasattr(scorer, "get_output_embeddings") or hasattr(scorer, "get_base_model"):
        scorer = Scorer(scorer)
    rows: dict[str, list[RowValues]] = {"logps": [()] * len(examples)}
    training = scorer.training
    scorer.eval()
    try:
        for part in parts:
            batch = layout.batch([examples[place] for place in part] or examples[:1])
            with layout.precision():
                outputs = scorer(batch)
            for name, values in by_token(outputs, batch.mask).items():
                of_name = rows.setdefault(name, [()] * len(examples))
                for line, place in enumerate(part):
                    of_name[place] = cut(values[line], examples[place])
            each()
    finally:
        scorer.train(training)
    return rows


def by_token(outputs: Tensor | Mapping[str, Tensor], mask: Tensor) -> dict[str, np.ndarray]:
    """Keep the outputs that have a number for each token, on the CPU."""
    named = outputs if isinstance(outputs, Mapping) else {"logps": outputs}
    return {name: value.cpu().numpy() for name, value in named.items() if value.shape == mask.shape}


def cut(values: np.ndarray, example: Example) -> RowValues:
    """Cut a row's numbers ``[k, T]`` to the lengths of its responses."""
    return tuple(line[: len(r)].copy() for line, r in zip(values, example.responses, strict=False))
