"""The losses of several sources: each source is lowered by itself, and training lowers the sum of the losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from alignc.contract.outputs import Quantity
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.graph.nodes import Output
from alignc.graph.rewrite import inputs
from alignc.lower.lookup import Lookup
from alignc.lower.loss import Loss, Metric
from alignc.lower.lower import lower
from alignc.lower.scope import Names

__all__ = ["lower_parts", "own_metric"]


def lower_parts(parts: Mapping[str, Lookup]) -> dict[str, Loss]:
    """Lower each part with its own symbols and metrics. Raises DiagnosticError with the errors of all parts."""
    names, found, lowered = Names(), list[Diagnostic](), dict[str, Loss]()
    for name, part in parts.items():
        try:
            lowered[name] = lower(part, names)
        except DiagnosticError as error:
            found += error.diagnostics
    found += _two_models(parts, lowered)
    if found:
        raise DiagnosticError(found)
    return _numbered(lowered)


def _two_models(parts: Mapping[str, Lookup], losses: Mapping[str, Loss]) -> list[Diagnostic]:
    """E113: one source trains a reward model and another a policy; one model cannot have both."""
    scored = [name for name, loss in losses.items() if Quantity.SCORE in _outputs(loss)]
    if len(scored) in (0, len(losses)):
        return []
    message = (
        f"`{scored[0]}` trains a reward model, but other sources train a policy: one job trains one model"
    )
    why = "a reward model has a scalar head, and a policy has a head over the vocabulary"
    span = parts[scored[0]].span(("data",), of_key=True)
    return [Diagnostic("E113", message, span, why=why, help="train the reward model with a spec of its own")]


def _outputs(loss: Loss) -> set[Quantity]:
    return {node.quantity for node in inputs(*loss.outputs) if isinstance(node, Output)}


def own_metric(number: int) -> str:
    """Return the name of the metric for the loss of one source; sources count from 1."""
    return f"source_{number}/loss"


def _numbered(losses: Mapping[str, Loss]) -> dict[str, Loss]:
    """Number the metrics of a source if an earlier source has the same metric: `rewards/chosen`, `rewards/chosen_2`."""
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
