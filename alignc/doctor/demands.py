"""The needs of a spec beyond the needs of every job, and which of them this machine does not meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignc.api import Planned, built, planned
from alignc.contract.engines import ENGINES
from alignc.contract.files import JOB
from alignc.contract.optimizers import OPTIMIZERS
from alignc.contract.samplers import IN_PROCESS, SAMPLERS, SamplerRow
from alignc.diagnostics import Diagnostic
from alignc.doctor.finding import Finding
from alignc.doctor.machine import cores, hub_cache, place
from alignc.doctor.probe import Torch
from alignc.doctor.trust import probed
from alignc.launch import Options, Stage, disallowed, untrained
from alignc.load.disk import is_file
from alignc.load.paths import missing_files
from alignc.load.pipeline import producers
from alignc.plan.build import ResourcePlan
from alignc.plan.show import gib

__all__ = ["Demands", "demands", "lacking", "needed"]


@dataclass(frozen=True)
class Demands:
    """A compiled spec: its stage, its plan, and findings about its missing local files."""

    stage: Stage
    plan: Planned
    missing: tuple[Diagnostic, ...]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The resolved spec."""
        found: Mapping[str, Any] = self.stage.job["spec"]
        return found


def demands(path: str, overrides: Sequence[str] = ()) -> Demands:
    """Compile and plan a spec without its data. Raises DiagnosticError if the spec has an error."""
    compiled = built(path, overrides, files=False)
    document = compiled.spec.document
    stage = Stage(path, document, compiled.folder(), Options(), producers(document))
    plan = planned(path, overrides, read_data=False)
    return Demands(stage, plan, tuple(missing_files(compiled.spec.job, document)))


def needed(spec: Mapping[str, Any], torch: Torch) -> set[str]:
    """Return the names of the packages and tools that this resolved spec needs and other specs do not."""
    launch, cpu = spec["launch"], not torch.devices
    found = set(spec["train"]["report_to"]) & {"wandb"}
    found |= {sampler.extra for sampler in samplers(spec) if sampler.extra}
    optimizer = OPTIMIZERS[spec["train"]["optim"]]
    found |= {optimizer.extra} if optimizer.extra else set()
    engine = ENGINES[launch["engine"]]
    found |= {engine.package} if engine.package else set()
    found |= set(engine.tools) if cpu or launch["offload"] else set()
    found |= {"gloo"} if cpu and (not engine.alone or launch["num_processes"] > 1) else set()
    return found


def samplers(spec: Mapping[str, Any]) -> list[SamplerRow]:
    """List the samplers of a spec: one for each source whose responses the policy samples."""
    return [SAMPLERS[each["sampler"]] for each in sources(spec) if "sampler" in each]


def sources(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the sections of data: one section for each source."""
    several = spec["data"].get("sources")
    return list(several.values()) if several else [spec["data"]]


def lacking(asked: Sequence[Demands], torch: Torch) -> Iterator[Finding]:
    """Check the needs of each spec: models, data, permissions, devices, memory and disk space."""
    absent = untrained([each.stage for each in asked])
    for each in asked:
        group = each.stage.spec
        models = [found for found in untrained([each.stage]) if found in absent]
        yield from _told(group, "models", models, "all models exist, or an earlier stage trains them")
        yield from _hub_models(group, each.spec)
        yield from _told(group, "data", each.missing, "all files exist")
        yield from _told(
            group, "permissions", disallowed([each.stage]), "all functions and hosts are allowed"
        )
        yield _processes(group, each.spec, torch)
        yield from _precision(group, each.spec, torch)
        yield from _memory(group, each.plan)
        yield _room(group, each)
        if not models:
            yield from probed(group, each.stage.folder.files[JOB], each.spec["model"]["policy"])


def _told(group: str, name: str, found: Sequence[Diagnostic], well: str) -> Iterator[Finding]:
    for each in found:
        place_ = f"{each.span.file}:{each.span.line}"
        yield Finding(group, name, "lacks", f"{each.message} ({place_})", each.help)
    if not found:
        yield Finding(group, name, "ok", well)


def _hub_models(group: str, spec: Mapping[str, Any]) -> Iterator[Finding]:
    policy = spec["model"]["policy"]
    if not isinstance(policy, str) or Path(policy).is_absolute():
        return
    kept = hub_cache() / f"models--{policy.replace('/', '--')}" / "snapshots"
    if any(is_file(folder / "config.json") for folder in kept.glob("*")):
        yield Finding(group, "hub", "ok", f"{policy} is in the cache of the hub")
    else:
        yield Finding(
            group, "hub", "note", f"{policy} will be downloaded; pass --online to check that the hub answers"
        )


def _processes(group: str, spec: Mapping[str, Any], torch: Torch) -> Finding:
    many, there = spec["launch"]["num_processes"], len(torch.devices)
    if there and many > there:
        help_ = f"set `launch.num_processes: {there}`, or run on a machine with {many} GPUs"
        return Finding(group, "processes", "lacks", f"{many} needed, but {there} GPUs found", help_)
    if not there and (wanting := [sampler for sampler in samplers(spec) if sampler.needs_gpu]):
        help_ = f"set `data.sampler: {IN_PROCESS.name}`, or run on a machine with a GPU"
        return Finding(group, "processes", "lacks", f"`data.sampler: {wanting[0].name}` needs a GPU", help_)
    if not there and many > cores():
        help_ = f"set `launch.num_processes: {cores()}`"
        return Finding(
            group, "processes", "note", f"{many}, but {cores()} cores: fewer processes would be faster", help_
        )
    where = "the CPU" if not there else "a GPU" if many == 1 else "a GPU each"
    return Finding(group, "processes", "ok", f"{many}, on {where}")


def _precision(group: str, spec: Mapping[str, Any], torch: Torch) -> Iterator[Finding]:
    mixed = spec["launch"]["mixed_precision"]
    narrow = mixed == "bf16" or (mixed is None and spec["train"]["bf16"])
    if narrow and not all(device.bf16 for device in torch.devices):
        help_ = "set `train.bf16: false`"
        yield Finding(
            group, "precision", "lacks", "bfloat16 is needed, but this GPU does not support it", help_
        )


def _memory(group: str, found: Planned) -> Iterator[Finding]:
    plan, peak = found.plan, found.plan.peak
    if found.refusal is not None:
        yield Finding(group, "memory", "lacks", found.refusal.message, found.refusal.help)
        return
    if plan.fits == "unknown" or plan.memory is None:
        help_ = "give the size of the model: `alignc plan SPEC --parameters 0.5B`"
        yield Finding(group, "memory", "note", "not known: the model is not on this machine", help_)
        return
    said = f"about {gib(peak.total)} in {peak.name} of {gib(plan.memory.bytes)}"
    help_ = "`alignc plan` lists each part; a smaller batch or a smaller `train.max_length` needs less memory"
    fits = plan.fits == "yes"
    yield Finding(group, "memory", "ok" if fits else "note", said, None if fits else help_)


def _room(group: str, each: Demands) -> Finding:
    spec = each.spec
    wanted = room(spec, each.plan.plan)
    help_ = "choose a writable `output_dir`"
    return place(group, "output_dir", Path(spec["output_dir"]), help_, wanted)


def room(spec: Mapping[str, Any], plan: ResourcePlan) -> int:
    """Estimate the bytes of a run on the disk: its checkpoints in float32, the best and the next one, and the model."""
    [policy, *_] = plan.sizes
    trained = policy.trained or 0
    stored = 4 * (trained if spec["model"]["adapter"] else policy.parameters or 0)
    checkpoint = stored + OPTIMIZERS[spec["train"]["optim"]].state_bytes * trained
    return int(spec["train"]["save_total_limit"] + 2) * checkpoint + stored
