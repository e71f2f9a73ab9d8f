"""From rewards, penalties and values to the columns of tokens that a rollout's rows bear."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...contract.needs import LossNeeds
from ...contract.outputs import OUTPUTS, Quantity
from ..data.example import Example
from ..scoring.micro import Anchors, stack_groups
from ..scoring.objective import Penalty
from .advantage import advantages
from .log_probs import TokenOutputs
from .scores import AnswerScores

__all__ = ["mask_of", "penalties_of", "with_token_columns"]


def mask_of(rows: Sequence[Example]) -> Tensor:
    """Mark where the rows' responses have tokens, ``[rows, k, T]``."""
    lengths = [[len(response) for response in row.responses] for row in rows]
    k, longest = max(map(len, lengths)), max(max(row) for row in lengths)
    table = torch.tensor([row + [0] * (k - len(row)) for row in lengths])
    return torch.arange(longest) < table[:, :, None]


def penalties_of(needs: LossNeeds, penalty: Penalty | None, anchors: Anchors, mask: Tensor) -> Tensor | None:
    """Compute the penalty of the KL, where the needs have one, under the policy as it was when it sampled."""
    if penalty is None or not needs.advantage or not needs.advantage.penalty:
        return None
    batch = {f"{name}/completions": stack_groups(rows, mask).double() for name, rows in anchors.items()}
    return penalty(batch | {"mask/completions": mask})


OLD_VALUE, OLD_DIVERGENCE = (OUTPUTS[name].stored for name in (Quantity.TOKEN_VALUE, Quantity.DIVERGENCE))


def with_token_columns(
    needs: LossNeeds,
    rows: Sequence[Example],
    scored: Sequence[TokenOutputs],
    scores: AnswerScores,
    penalties: Tensor | None,
) -> list[Example]:
    """Add the columns of tokens that the needs ask for: `advantage`, `return`, `old_value`, `old_divergence`.

    All rows of the rollout come at once, on every rank, so that means over the rollout are means over all of it.
    """
    if not needs.token_columns:
        return list(rows)
    mask, tables = mask_of(rows), {}
    if Quantity.TOKEN_VALUE in scored[0]:
        tables[OLD_VALUE] = stack_groups([row[Quantity.TOKEN_VALUE] for row in scored], mask).double()
    if OLD_DIVERGENCE in scored[0]:
        tables[OLD_DIVERGENCE] = stack_groups([row[OLD_DIVERGENCE] for row in scored], mask).double()
    if needs.advantage:
        tables |= advantages(
            needs.advantage,
            reward=torch.tensor(scores.of(needs.advantage.reward), dtype=torch.float64),
            penalty=penalties,
            value=tables.get(OLD_VALUE),
            mask=mask,
        )
    return [
        dataclasses.replace(row, columns={**row.columns, **columns_of(needs, tables, place, row)})
        for place, row in enumerate(rows)
    ]


def columns_of(
    needs: LossNeeds, tables: Mapping[str, Tensor], place: int, row: Example
) -> dict[str, tuple[np.ndarray, ...]]:
    """Cut one row's columns of tokens to the lengths of its responses."""
    return {
        column: tuple(
            tables[column.partition("/")[0]][place, at, : len(response)].numpy().copy()
            for at, response in enumerate(row.responses)
        )
        for column in needs.token_columns
    }
