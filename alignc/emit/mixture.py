"""The job folder of a spec with several sources: one loss per source, and a loop that adds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alignc import __version__
from alignc.contract.files import JOB
from alignc.contract.job import Formula, Job, to_json
from alignc.contract.needs import LossNeeds
from alignc.contract.plain import to_plain
from alignc.emit.config import accelerate_yaml, deepspeed_json, launch_values
from alignc.emit.folder import JobFolder, package_names, runtime_files
from alignc.emit.job_json import formula_latex, formula_text, origins, spec_of
from alignc.emit.render import rendered
from alignc.emit.source import header, loss_source
from alignc.explain import Explanation
from alignc.explain.mixture import Mixed
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.lower.mixture import own_metric
from alignc.plan.needs import reference_of

__all__ = ["PartOfJob", "mixed_folder", "mixed_job"]


@dataclass(frozen=True)
class PartOfJob:
    """The part of one source in a job."""

    spec: Loaded
    loss: Loss
    needs: LossNeeds
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
        JOB: to_json(mixed_job(spec, parts, explained)),
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


def mixed_job(spec: Loaded, parts: Mapping[str, PartOfJob], explained: Mixed) -> Job:
    """Resolve a spec of several sources: the needs of the whole hold those of each source, in their order."""
    kinds = [reference_of(p.needs, p.spec.job) for p in parts.values()]
    resolved = spec_of(spec, next((kind for kind in kinds if kind != "none"), "none"))
    text = "\n".join([explained.formula, *(formula_text(e) for e in explained.sources.values())])
    return Job(
        __version__,
        spec.job.name,
        resolved,
        origins(spec, to_plain(resolved)),
        _together([p.needs for p in parts.values()]),
        Formula(text, _latex(parts)),
    )


def _latex(parts: Mapping[str, PartOfJob]) -> str:
    own = [f"L_{{{i}}} {formula_latex(p.loss)[2:]}" for i, p in enumerate(parts.values(), 1)]
    total = " + ".join(f"L_{{{i + 1}}}" for i in range(len(own)))
    return r" \\ ".join([f"L = {total}", *own])


def _together(parts: Sequence[LossNeeds]) -> LossNeeds:
    """Combine the needs of the sources for the model and the log; each source keeps its own rows."""
    own = [own_metric(i + 1) for i in range(len(parts))]
    return LossNeeds(
        responses=[],
        anchors=_union(p.anchors for p in parts),
        columns=_union(p.columns for p in parts),
        outputs=_union(p.outputs for p in parts),
        statistics={},
        statistic_responses=[],
        loss_responses=[],
        convert=None,
        totals=[],
        coupled=any(p.coupled for p in parts),
        metrics=["loss", *own, *(m for p in parts for m in p.metrics if m != "loss")],
        step0=_step0([p.step0 for p in parts], own),
        others={name: path for p in parts for name, path in p.others.items()},
        parts=tuple(parts),
    )


def _union(lists: Iterable[Sequence[str]]) -> list[str]:
    return sorted({name for names in lists for name in names})


def _step0(starts: Sequence[Mapping[str, float]], own: Sequence[str]) -> dict[str, float]:
    """Collect the values that are known before the first step; the loss is known if each source knows its loss."""
    known = {name: value for start in starts for name, value in start.items() if name != "loss"}
    losses = {name: start["loss"] for name, start in zip(own, starts, strict=True) if "loss" in start}
    whole = {"loss": sum(losses.values())} if len(losses) == len(starts) else {}
    return {**whole, **losses, **known}
