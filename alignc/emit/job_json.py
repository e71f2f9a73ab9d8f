"""`job.json`: the resolved spec, its origins, its needs and its formula. The one home of the spec's own strings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alignc import __version__
from alignc.contract.job import Formula, Job, Spec, spec_from
from alignc.contract.needs import LossNeeds
from alignc.contract.plain import to_plain
from alignc.explain import Explanation
from alignc.load.document import leaves
from alignc.load.folder import facts_of
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan.needs import reference_of
from alignc.printers.formula import latex
from alignc.printers.terms import objective, term_losses
from alignc.yaml.source import NodePath

__all__ = ["formula_latex", "formula_text", "job_of", "origins", "spec_of"]


def job_of(spec: Loaded, loss: Loss, needs: LossNeeds, explained: Explanation) -> Job:
    """Resolve a spec of one source to the job that is run."""
    resolved = spec_of(spec, reference_of(needs, spec.job))
    formula = Formula(formula_text(explained), formula_latex(loss))
    return Job(__version__, spec.job.name, resolved, origins(spec, to_plain(resolved)), needs, formula)


def spec_of(spec: Loaded, reference: str) -> Spec:
    """Fill in the open settings of a spec, and the source of the reference log-probabilities."""
    return spec_from(_filled(spec, reference))


def _filled(spec: Loaded, reference: str) -> dict[str, Any]:
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
    """Return the largest length of a row: the spec's, else the default, or the positions of a new model or a folder."""
    job = spec.job
    if ("train", "max_length") in spec.document.origins:
        return job.train.max_length
    given = [getattr(job.model.policy, name, None) for name in ("max_position_embeddings", "n_positions")]
    facts = facts_of(Path(job.model.policy)) if isinstance(job.model.policy, str) else None
    given.append(facts and facts.positions)
    return min([job.train.max_length, *(int(limit) for limit in given if limit is not None)])


def origins(spec: Loaded, data: dict[str, Any]) -> dict[str, str]:
    """Map each value to its origin."""
    folder = os.path.dirname(os.path.abspath(spec.file))
    return {".".join(map(str, path)): _origin(spec, path, folder) for path, _ in leaves(data)}


def _origin(spec: Loaded, path: NodePath, folder: str) -> str:
    """Name files relative to the folder of the spec, so that the bytes do not depend on the working directory."""
    found = spec.document.origins.get(path)
    if found is None or found.span is None or found.span.file == "--set":
        return spec.origin(path)
    file = os.path.relpath(os.path.abspath(found.span.file), folder)
    return f"{file}:{found.span.line}:{found.span.column}"


def formula_text(explained: Explanation) -> str:
    """Write the formula with its definitions, one per line."""
    where = (f"{w.symbol} = {w.definition}   ({w.note})" for w in explained.where)
    return "\n".join([explained.formula, *explained.losses, *where])


def formula_latex(loss: Loss) -> str:
    """Write the loss as LaTeX, of several terms each on a line of its own."""
    out, losses = loss.written_out, term_losses(loss)
    whole = f"L = {latex(objective(loss), out)}"
    return r" \\ ".join([whole, *(f"{latex(n)} = {latex(n.argument, out)}" for n in losses)])
