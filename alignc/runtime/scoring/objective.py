"""The objective of one source of rows: the functions of `loss.py`, and their needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from torch import Tensor

from ...contract.job import Job
from ...contract.needs import LossNeeds
from ...contract.outputs import OUTPUTS, Quantity
from ..data.example import Example
from .micro import Anchors

__all__ = [
    "OLD_DIVERGENCE",
    "LossFunction",
    "Penalty",
    "RowStatistics",
    "SourceBatch",
    "SourceObjective",
    "objectives_of",
]

LossFunction = Callable[[dict[str, Tensor], dict[str, float]], tuple[Tensor, dict[str, Tensor]]]
"""The loss of `loss.py`: from a micro-batch and the totals of the global batch to a share of the loss and metrics."""
RowStatistics = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""The row values [rows] (or [rows, 2]) of each statistic of a micro-batch."""
Penalty = Callable[[dict[str, Tensor]], Tensor]
"""The amount that a token [rows, k, T], or a response [rows, k], is charged for leaving its anchor."""

OLD_DIVERGENCE = f"column/{OUTPUTS[Quantity.DIVERGENCE].stored}"


@dataclass(frozen=True)
class SourceObjective:
    """The loss over the rows of one source, and the other functions that `loss.py` has for them."""

    needs: LossNeeds
    loss: LossFunction
    statistics: RowStatistics | None = None
    penalty: Penalty | None = None
    source: int = 0
    """The number of the source, from 1, where a job has several; 0 where it has one."""
    reads_old_divergence: bool = False
    """Whether the KL of the policy that sampled is taken over its whole distribution, not over the drawn tokens."""

    def name_of_loss(self) -> str:
        """Name this part of the loss, as the metrics have it: `loss` is the sum over all sources."""
        return f"source_{self.source}/loss" if self.source else "loss"


@dataclass(frozen=True, eq=False)
class SourceBatch:
    """Rows of one source that are trained on, or evaluated, together. They are the same on every rank."""

    objective: SourceObjective
    rows: Sequence[Example]
    anchors: Anchors = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Values of the rollout that the rows are of; a step logs them beside its own."""


def objectives_of(job: Job, module: ModuleType) -> list[SourceObjective]:
    """List the objective of each source, from the job's `loss.py`: one loss, or `LOSSES`, a module for each source."""
    modules: Sequence[ModuleType] = getattr(module, "LOSSES", (module,))
    if not job.parts:
        return [objective_of(job.needs, modules[0], 0)]
    numbered = enumerate(zip(job.parts, modules, strict=True), 1)
    return [objective_of(part.needs, own, number) for number, (part, own) in numbered]


def objective_of(needs: LossNeeds, module: ModuleType, source: int) -> SourceObjective:
    """Read the objective of one source off its module."""
    return SourceObjective(
        needs,
        module.loss,
        statistics=module.statistics if needs.statistics else None,
        penalty=module.penalty if needs.advantage and needs.advantage.penalty else None,
        source=source,
        reads_old_divergence=reads(module, OLD_DIVERGENCE),
    )


def reads(module: ModuleType, name: str) -> bool:
    """Tell whether a module's source names a tensor: the needs list the columns of `loss`, not those of `penalty`."""
    return module.__file__ is not None and f'"{name}' in Path(module.__file__).read_text("utf-8")
