"""The job folder of a spec with several sources: a loss a source, and a loop that sums them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignc import __version__
from alignc.emit.config import accelerate_yaml, deepspeed_json, launch_values
from alignc.emit.folder import JobFolder, package_names, runtime_files
from alignc.emit.job_json import formula_latex, formula_text, job_data, origins, resolved
from alignc.emit.render import rendered
from alignc.emit.source import header, loss_source
from alignc.explain import Explanation
from alignc.explain.mixture import Mixed
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.lower.mixture import own_metric
from alignc.plan import Needs

__all__ = ["PartOfJob", "mixed_data", "mixed_folder"]


@dataclass(frozen=True)
class PartOfJob:
    """One source's part of a job."""

    spec: Loaded
    loss: Loss
    needs: Needs
    explanation: Explanation


def mixed_folder(
    spec: Loaded, parts: Mapping[str, PartOfJob], explained: Mixed, *, standalone: bool = False
) -> JobFolder:
    """Emit the job of several sources: `loss_1.py` and so on, which `loss.py` lists."""
    job = spec.job
    sources = {f"loss_{i}": loss_source(p.loss, p.explanation) for i, p in enumerate(parts.values(), 1)}
    values = {
        "formula": explained.formula,
        "sources": [
            {
                "module": module,
                "formula": header(p.explanation, f"   ({module}.py)"),
                "digest": _digest(sources[module]),
            }
            for module, p in zip(sources, parts.values(), strict=True)
        ],
        **package_names(standalone=standalone),
        **launch_values(job),
        "standalone": standalone,
    }
    files = {
        "train.py": rendered("train.py.j2", **values),
        "loss.py": rendered("mixed_loss.py.j2", **values),
        **{f"{module}.py": text for module, text in sources.items()},
        "job.json": json.dumps(mixed_data(spec, parts, explained), indent=1, ensure_ascii=False) + "\n",
        "accelerate.yaml": accelerate_yaml(job),
        "deepspeed.json": deepspeed_json(job),
        "launch.sh": rendered("launch.sh.j2", **values),
        "slurm.sh": rendered("slurm.sh.j2", **values),
        "README.md": rendered("README.md.j2", **values),
    }
    if standalone:
        files |= runtime_files()
    return JobFolder(files)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mixed_data(spec: Loaded, parts: Mapping[str, PartOfJob], explained: Mixed) -> dict[str, Any]:
    """Collect the content of `job.json`: the plan of the whole, and the plan of each source in their order."""
    kinds = [p.needs.reference for p in parts.values()]
    reference = next((kind for kind in kinds if kind != "none"), "none")
    data = resolved(spec, reference)
    plans = [job_data(p.spec, p.loss, p.needs, p.explanation)["plan"] for p in parts.values()]
    return {
        "alignc": __version__,
        "name": spec.job.name,
        "spec": data,
        "origins": origins(spec, data),
        "plan": {**_whole(plans), "parts": plans},
        "formula": {
            "text": "\n".join([explained.formula, *(formula_text(e) for e in explained.sources.values())]),
            "latex": _latex(parts),
        },
    }


def _latex(parts: Mapping[str, PartOfJob]) -> str:
    own = [f"L_{{{i}}} {formula_latex(p.loss)[2:]}" for i, p in enumerate(parts.values(), 1)]
    total = " + ".join(f"L_{{{i + 1}}}" for i in range(len(own)))
    return r" \\ ".join([f"L = {total}", *own])


def _whole(plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Put plans together as far as the model and the log are concerned; rows are each source's own."""
    own = [own_metric(i + 1) for i in range(len(plans))]
    return {
        "responses": [],
        "anchors": _union(plans, "anchors"),
        "columns": _union(plans, "columns"),
        "outputs": _union(plans, "outputs"),
        "statistics": {},
        "statistic_responses": [],
        "loss_responses": [],
        "convert": None,
        "totals": [],
        "coupled": any(p["coupled"] for p in plans),
        "metrics": ["loss", *own, *(m for p in plans for m in p["metrics"] if m != "loss")],
        "step0": _step0(plans, own),
        "others": {name: path for plan in plans for name, path in plan["others"].items()},
    }


def _union(plans: list[dict[str, Any]], key: str) -> list[str]:
    return sorted({name for plan in plans for name in plan[key]})


def _step0(plans: list[dict[str, Any]], own: list[str]) -> dict[str, float]:
    """Collect what is known before the first step; of the loss only where it is known of every source."""
    starts = [plan["step0"] for plan in plans]
    known = {name: value for start in starts for name, value in start.items() if name != "loss"}
    losses = {name: start["loss"] for name, start in zip(own, starts, strict=True) if "loss" in start}
    whole = {"loss": sum(losses.values())} if len(losses) == len(plans) else {}
    return {**whole, **losses, **known}
