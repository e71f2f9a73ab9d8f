"""`job.json`: the resolved spec, its origins, its needs and its formula. The one home of the spec's own strings."""

from __future__ import annotations

import json
import os
from typing import Any

from alignc import __version__
from alignc.explain import Explanation
from alignc.load.document import leaves
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan import Needs
from alignc.printers.formula import latex
from alignc.printers.terms import objective, term_losses
from alignc.yaml.source import NodePath

__all__ = ["job_data", "job_json", "resolved"]


def job_json(spec: Loaded, loss: Loss, needs: Needs, explained: Explanation) -> str:
    """Write `job.json`; the same spec gives the same bytes."""
    return json.dumps(job_data(spec, loss, needs, explained), indent=1, ensure_ascii=False) + "\n"


def job_data(spec: Loaded, loss: Loss, needs: Needs, explained: Explanation) -> dict[str, Any]:
    """Collect the content of `job.json`."""
    data = resolved(spec, needs.reference)
    return {
        "alignc": __version__,
        "name": spec.job.name,
        "spec": data,
        "origins": origins(spec, data),
        "plan": {
            "responses": list(needs.responses),
            "anchors": list(needs.anchors),
            "columns": list(needs.columns),
            "outputs": list(needs.outputs),
            "statistics": needs.statistics,
            "statistic_responses": list(needs.statistic_responses),
            "loss_responses": list(needs.loss_responses),
            "convert": needs.convert,
            "totals": list(needs.totals),
            "coupled": needs.coupled,
            "metrics": list(needs.metrics),
            "step0": needs.step0,
            "advantage": needs.advantage,
            "token_columns": list(needs.token_columns),
            "ratios": list(needs.ratios),
            "baseline": needs.baseline,
            "others": needs.others,
        },
        "formula": {"text": formula_text(explained), "latex": formula_latex(loss)},
    }


def resolved(spec: Loaded, reference: str) -> dict[str, Any]:
    """Fill in what the spec left open, and where reference log-probabilities come from."""
    data = spec.job.model_dump()
    data["objective"]["parameters"] = {n: b.value for n, b in spec.parameters.items()} | {
        f"{source.label}.{n}": b.value
        for source in spec.nested.values()
        for n, b in source.parameters.items()
    }
    data["train"]["max_length"] = longest(spec)
    model = data["model"]
    model["reference"] = {"path": None, **(model["reference"] or {}), "kind": reference}
    if isinstance(model["policy"], dict):
        model["policy"] = {k: v for k, v in model["policy"].items() if v is not None}
    return data


def longest(spec: Loaded) -> int:
    """Find how long a row may be: what the spec says, else the default, or a fresh model's positions if fewer."""
    job = spec.job
    if ("train", "max_length") in spec.document.origins:
        return job.train.max_length
    given = [getattr(job.model.policy, name, None) for name in ("max_position_embeddings", "n_positions")]
    return min([job.train.max_length, *(int(limit) for limit in given if limit is not None)])


def origins(spec: Loaded, data: dict[str, Any]) -> dict[str, str]:
    """Say of every value where it comes from."""
    folder = os.path.dirname(os.path.abspath(spec.file))
    return {".".join(map(str, path)): _origin(spec, path, folder) for path, _ in leaves(data)}


def _origin(spec: Loaded, path: NodePath, folder: str) -> str:
    """Name files as seen from the spec's folder, so that the bytes do not depend on the working directory."""
    found = spec.document.origins.get(path)
    if found is None or found.span is None or found.span.file == "--set":
        return spec.origin(path)
    file = os.path.relpath(os.path.abspath(found.span.file), folder)
    return f"{file}:{found.span.line}:{found.span.column}"


def formula_text(explained: Explanation) -> str:
    """Write the formula with its definitions, one a line."""
    where = (f"{w.symbol} = {w.definition}   ({w.note})" for w in explained.where)
    return "\n".join([explained.formula, *explained.losses, *where])


def formula_latex(loss: Loss) -> str:
    """Write the loss as LaTeX, of several terms each on a line of its own."""
    out, losses = loss.written_out, term_losses(loss)
    whole = f"L = {latex(objective(loss), out)}"
    return r" \\ ".join([whole, *(f"{latex(n)} = {latex(n.argument, out)}" for n in losses)])
