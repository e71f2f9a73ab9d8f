"""The small functions that an emitted `loss.py` may call; each job gets those it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["TOOLS", "called"]

TOOLS: Mapping[str, str] = {
    "token_sum": '''def token_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum over a response's tokens [..., time] -> [...], in float64."""
    return (values.double() * mask).sum(-1)''',
    "length": '''def length(mask: Tensor) -> Tensor:
    """Count a response's tokens [..., time] -> [...]."""
    return mask.double().sum(-1).clamp(min=1.0)''',
    "token_mean": '''def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average over a response's tokens [..., time] -> [...]."""
    return token_sum(values, mask) / length(mask)''',
    "position": '''def position(mask: Tensor) -> Tensor:
    """Number a response's tokens from 1 [..., time] -> [..., time]."""
    return mask.double().cumsum(-1)''',
    "present": '''def present(values: Tensor, mask: Tensor) -> Tensor:
    """Give places without a response the value of the row's first response [rows, k] -> [rows, k]."""
    return torch.where(mask.any(-1), values, values[:, :1])''',
    "group_sum": '''def group_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum over the responses of a row [rows, k] -> [rows]; places without a response count nothing."""
    return torch.where(mask.any(-1), values, 0.0).sum(-1)''',
    "group_size": '''def group_size(mask: Tensor) -> Tensor:
    """Count the responses of a row [rows, k, time] -> [rows]."""
    return mask.any(-1).double().sum(-1)''',
    "group_mean": '''def group_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average over the responses of a row [rows, k] -> [rows]."""
    return group_sum(values, mask) / group_size(mask)''',
    "pair_sum": '''def pair_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum the squared differences of all pairs of a row [rows, k] -> [rows]: k times those from the mean."""
    deviations = values - group_mean(values, mask)[:, None]
    return group_size(mask) * group_sum(deviations**2, mask)''',
    "row_mean": '''def row_mean(values: Tensor, totals: dict[str, float]) -> Tensor:
    """Average over the rows of the global batch [rows] -> one number: this micro-batch's share."""
    return values.sum() / totals["rows"]''',
    "global_token_mean": '''def global_token_mean(values: Tensor, mask: Tensor, totals: dict[str, float]) -> Tensor:
    """Average over all tokens of the global batch [rows, k, time] -> one number: this micro-batch's share."""
    return group_sum(token_sum(values, mask), mask).sum() / totals["tokens/completions"]''',
    "number": '''def number(value: float | Tensor) -> Tensor:
    """Make a tensor of a number."""
    return torch.as_tensor(value, dtype=torch.float64)''',
    "at_most": '''def at_most(left: Tensor, right: Tensor) -> Tensor:
    """Tell by 1 and 0 where left <= right."""
    return (left <= right).double()''',
    "log1mexp": '''def log1mexp(x: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, exact near 0 and far from it."""
    near = x > -0.6931471805599453
    above = torch.log(-torch.expm1(torch.where(near, x, -0.5)))
    below = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, above, below)''',
    "log_odds": '''def log_odds(a: Tensor) -> Tensor:
    """Log-odds of a log-probability: a - log(1 - e^a)."""
    return a - log1mexp(a)''',
    "part": '''def part(batch: dict[str, Tensor], totals: dict[str, float]) -> float:
    """Return the share of the global batch's rows that this micro-batch holds."""
    mask = next(value for name, value in batch.items() if name.startswith("mask/"))
    return mask.shape[0] / totals["rows"]''',
}


def called(names: Iterable[str]) -> frozenset[str]:
    """Add to some functions those that they call."""
    found, more = frozenset[str](), frozenset(names)
    while more - found:
        found |= more
        more = frozenset(
            other for name in found for other in TOOLS if re.search(rf"\b{other}\(", TOOLS[name])
        )
    return found
