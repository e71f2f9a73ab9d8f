"""The losses of several sources: one for each, whose sum is trained. Each is lowered as if it stood alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.graph.loss import Loss, Metric
from alignc.graph.lower import lower
from alignc.graph.scope import Names
from alignc.spec.load import Loaded

__all__ = ["lower_parts", "own_metric"]


def lower_parts(parts: Mapping[str, Loaded]) -> dict[str, Loss]:
    """Lower each part under symbols and metrics of its own. Raises DiagnosticError with what is wrong with any."""
    names, found, lowered = Names(), list[Diagnostic](), dict[str, Loss]()
    for name, part in parts.items():
        try:
            lowered[name] = lower(part, names)
        except DiagnosticError as error:
            found += error.diagnostics
    if found:
        raise DiagnosticError(found)
    return _numbered(lowered)


def own_metric(number: int) -> str:
    """Name the metric that is one source's part of the loss; sources count from 1."""
    return f"source_{number}/loss"


def _numbered(losses: Mapping[str, Loss]) -> dict[str, Loss]:
    """Number the metrics of a source where an earlier one has them: `rewards/chosen`, `rewards/chosen_2`."""
    taken: set[str] = set()
    numbered = {}
    for source, loss in losses.items():
        metrics = [loss.metrics[0]]
        for metric in loss.metrics[1:]:
            count = 1
            while (name := metric.name if count == 1 else f"{metric.name}_{count}") in taken:
                count += 1
            taken.add(name)
            metrics.append(Metric(name, metric.value))
        numbered[source] = replace(loss, metrics=tuple(metrics))
    return numbered
