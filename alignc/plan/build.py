"""The plan of a job: models, memory, steps, work, and whether the job fits.

The plan opens no model; it may count local rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alignc.contract.engines import ENGINES
from alignc.contract.files import MODEL
from alignc.contract.job import Job
from alignc.contract.kinds import ONLINE
from alignc.contract.needs import LossNeeds
from alignc.contract.outputs import Quantity
from alignc.contract.plain import to_plain
from alignc.contract.rewards import REWARDS
from alignc.load.load import Loaded, load
from alignc.load.pipeline import producers
from alignc.plan.generation import generation_lines
from alignc.plan.machine import Memory
from alignc.plan.memory import FACTOR, Item, Models, Phase, phases, width_in_memory
from alignc.plan.needs import Role
from alignc.plan.rows import Lengths, measure
from alignc.plan.schedule import Schedule, Tokens, schedule, tokens
from alignc.plan.shapes import BYTES_VOCABULARY, count
from alignc.plan.weights import WIDTH, Weights, adapter_shapes, of_source, spared_bytes
from alignc.plan.work import Work, work

__all__ = ["Forwards", "ResourcePlan", "Size", "build", "fits", "makers", "models_of", "of_models"]


@dataclass(frozen=True)
class Size:
    """A model's size: `parameters` and `bytes` are None where only loading tells."""

    role: str
    source: str
    parameters: int | None
    trained: int | None
    bytes: int | None
    sure: str
    note: str = ""


@dataclass(frozen=True)
class Forwards:
    """A role's forwards a row and step; `backward` of them have one; `cached`: once a row in all."""

    role: str
    forwards: int
    backward: int
    cached: bool


@dataclass(frozen=True)
class ResourcePlan:
    """What a job will take, before anything is loaded. Every figure says how sure it is.

    `fits`: yes; no (what is certain is already too much); maybe (within the error of the estimates); unknown.
    """

    name: str
    launch: tuple[str, ...]
    engine: str
    processes: int
    sizes: tuple[Size, ...]
    forwards: tuple[Forwards, ...]
    lengths: Lengths
    schedule: Schedule
    tokens: Tokens
    tokens_a_step: float
    phases: tuple[Phase, ...]
    work: Work
    cached: tuple[str, ...]
    memory: Memory | None
    fits: str
    factor: float = FACTOR
    generation: tuple[str, ...] = ()
    """What the folder of the policy says of generation."""
    sources: Mapping[str, ResourcePlan] = field(default_factory=dict)
    """Of several sources of rows: what a step of each takes. The memory beside its activations is that of the job."""

    @property
    def peak(self) -> Phase:
        """The phase that takes most."""
        return max(self.phases, key=lambda phase: phase.total)


def build(
    job: Job,
    held: tuple[Role, ...],
    *,
    launch: tuple[str, ...] = (),
    made_from: Mapping[str, Any] | None = None,
    read_data: bool = True,
    given: int | None = None,
    memory: Memory | None = None,
) -> ResourcePlan:
    """Plan a resolved job, which holds the models `held`.

    `made_from`: what the models that other specs will make begin as; `given`: the size of a model that is not here.
    """
    models = models_of(to_plain(job.spec), job.needs, held, made_from or {}, given)
    return of_models(job, held, models, launch=launch, read_data=read_data, memory=memory)


def of_models(
    job: Job,
    held: tuple[Role, ...],
    models: Models,
    *,
    launch: tuple[str, ...] = (),
    read_data: bool = True,
    memory: Memory | None = None,
    beside: tuple[Item, ...] | None = None,
) -> ResourcePlan:
    """Plan a resolved job of one source, whose models are known.

    `beside`: what stays in memory beside the policy, if another source of the job decides that too.
    """
    spec: Mapping[str, Any] = to_plain(job.spec)
    lengths = _lengths(spec, models) if read_data else Lengths(note="not read")
    layout = models.policy.layout
    row = tokens(spec, lengths, len(job.needs.responses), layout.positions if layout else None)
    steps = schedule(spec, lengths)
    everything = None if lengths.rows is None else lengths.rows * row.longest_backbone
    laid = phases(spec, models, row, everything, beside)
    return ResourcePlan(
        name=str(spec["name"]),
        launch=launch,
        engine=_engine(spec),
        processes=int(spec["launch"]["num_processes"]),
        sizes=tuple(_sizes(models)),
        forwards=tuple(_forwards(held, row)),
        lengths=lengths,
        schedule=steps,
        tokens=row,
        tokens_a_step=steps.rows_a_step * row.backbone,
        phases=laid,
        work=work(spec, models, row, steps),
        cached=_cached(spec, models),
        memory=memory,
        fits=fits(laid, memory),
        generation=generation_lines(spec["model"]["policy"], spec["data"]),
    )


def _engine(spec: Mapping[str, Any]) -> str:
    launch, engine = spec["launch"], ENGINES[spec["launch"]["engine"]]
    title = engine.title[launch["num_processes"] > 1].format(zero_stage=launch["zero_stage"])
    return f"{title}, optimizer on the host" if engine.shards and launch["offload"] else title


def _lengths(spec: Mapping[str, Any], models: Models) -> Lengths:
    layout = models.policy.layout
    return measure(spec["data"], bytes_a_token=layout is not None and layout.vocabulary == BYTES_VOCABULARY)


def models_of(
    spec: Mapping[str, Any],
    needs: LossNeeds,
    held: tuple[Role, ...],
    made_from: Mapping[str, Any],
    given: int | None = None,
) -> Models:
    """Size every model that the job holds."""
    section, width = spec["model"], WIDTH.get(str(spec["model"]["dtype"]))
    rewards = Quantity.SCORE in needs.outputs

    def sized(source: Any, *, scalar: bool = False) -> Weights:
        return of_source(source, width, given=given, rewards=scalar, maker=made_from.get)

    policy = sized(section["policy"], scalar=rewards)
    head = _value_head(spec, needs, policy)
    trained, tensors = policy.number or 0, len(policy.shapes)
    added = head
    if section["adapter"]:
        factors = adapter_shapes(policy, section["adapter"])
        trained, tensors = count(factors), len(factors)
        added += trained
    return Models(
        policy=policy,
        trained=trained + head,
        added=added,
        spared=spared_bytes(policy, section.get("quantization")),
        tensors=tensors + (2 if head else 0),
        reference=_reference(spec, held, policy, sized),
        reference_stays=spec["data"]["kind"] in ONLINE,
        critic=_critic(spec, needs, sized),
        rewards=tuple(sized(path, scalar=True) for path in _reward_models(spec["data"])),
    )


def _critic_kind(spec: Mapping[str, Any]) -> str:
    return str((spec["model"].get("critic") or {}).get("kind", "head"))


def _value_head(spec: Mapping[str, Any], needs: LossNeeds, policy: Weights) -> int:
    own = Quantity.TOKEN_VALUE in needs.outputs and _critic_kind(spec) == "model"
    if own or not {Quantity.VALUE, Quantity.TOKEN_VALUE} & set(needs.outputs) or policy.layout is None:
        return 0
    return policy.layout.hidden + 1


def _critic(spec: Mapping[str, Any], needs: LossNeeds, sized: Callable[..., Weights]) -> Weights | None:
    if Quantity.TOKEN_VALUE not in needs.outputs or _critic_kind(spec) != "model":
        return None
    path = spec["model"]["critic"].get("path")
    return sized(path if path is not None else spec["model"]["policy"], scalar=True)


def _reference(
    spec: Mapping[str, Any], held: tuple[Role, ...], policy: Weights, sized: Callable[..., Weights]
) -> Weights | None:
    """Give the reference's weights; offline the policy itself serves before its first update."""
    data, kind = spec["data"], spec["model"]["reference"]["kind"]
    online = data["kind"] in ONLINE
    asked = any(role.role == "reference" for role in held)
    if online and not asked:
        asked = bool(data.get("eval")) or (data.get("opponent") or {}).get("kind") == "mixture"
        kind = kind if kind not in ("none", "previous_iterate") else "initial"
    if not asked or kind == "none" or (online and (kind == "previous_iterate" or spec["model"]["adapter"])):
        return None
    reference = sized(spec["model"]["reference"]["path"]) if kind == "path" else policy
    if reference is policy and not online:
        return policy
    return replace(
        reference, width=width_in_memory(spec, policy.width)
    )  # in another type it is another function


def _reward_models(value: Any) -> Iterator[Any]:
    """Find the models among rewards and oracles."""
    if isinstance(value, Mapping):
        row = REWARDS.get(str(value.get("kind")))
        if row is not None and row.model in value:
            yield value[row.model]
        for key, inner in value.items():
            if key != "columns":
                yield from _reward_models(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _reward_models(inner)


def makers(spec: Loaded) -> dict[str, Any]:
    """Say of the model folders behind `{run: SPEC}` what each begins as, and those behind them."""
    found: dict[str, Any] = {}
    waiting = [spec]
    while waiting:
        for maker in producers(waiting.pop().document).values():
            made = load(maker)
            folder = str(Path(made.job.output_dir) / MODEL)
            if folder not in found:
                policy = made.job.model_dump()["model"]["policy"]
                found[folder] = policy
                waiting.append(made)
    return found


def _sizes(models: Models) -> Iterator[Size]:
    policy = models.policy
    known = policy.number is not None
    number = (policy.number or 0) + models.added if known else None
    stored = (number or 0) * policy.width - models.spared if known else None
    yield Size(
        "policy", policy.source, number, models.trained if known else None, stored, policy.sure, policy.note
    )
    others = [
        ("reference", models.reference),
        ("critic", models.critic),
        *(("reward model", r) for r in models.rewards),
    ]
    for role, weights in others:
        if weights is not None and not (
            role == "reference" and weights is policy and not models.reference_stays
        ):
            trained = weights.number if role == "critic" else 0
            size = weights.bytes if weights.number is not None else None
            yield Size(role, weights.source, weights.number, trained, size, weights.sure, weights.note)


def _forwards(held: tuple[Role, ...], row: Tokens) -> Iterator[Forwards]:
    for role in held:
        many = row.responses if role.grouped else 1
        back = (role.forwards - (role.silent if role.role != "policy" else 0)) * many if role.trained else 0
        silent = role.silent * many
        yield Forwards(
            role.role, role.forwards * many + silent, back or (many if role.trained else 0), role.cached
        )


def _cached(spec: Mapping[str, Any], models: Models) -> tuple[str, ...]:
    if models.reference is None or models.reference_stays:
        return ()
    return (
        "log-probabilities of the reference, one number per response token, on the disk; later runs reuse them",
    )


def fits(laid: tuple[Phase, ...], memory: Memory | None) -> str:
    """Tell whether the phases fit the memory: yes, no, maybe or unknown."""
    if any(item.sure == "unknown" and item.what == "weights" for phase in laid for item in phase.items):
        return "unknown"
    if memory is None:
        return "unknown"
    if max(phase.least for phase in laid) > memory.bytes:
        return "no"
    return "yes" if max(phase.total for phase in laid) <= memory.bytes else "maybe"


def largest(phase: Phase, number: int = 3) -> list[Item]:
    """List a phase's largest items."""
    return sorted(phase.items, key=lambda item: -item.bytes)[:number]
