"""The adapter that a policy brings: its settings fill what a spec with `start: policy` leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from alignc.contract.adapters import ADAPTER_CONFIG, POLICY_OWN, described, disagreements
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.load.disk import is_file
from alignc.load.document import Document, Origin
from alignc.load.pipeline import is_spec, producers
from alignc.spec.job import Job
from alignc.yaml.source import NodePath

__all__ = ["adopted"]

ADAPTER: NodePath = ("model", "adapter")
POLICY: NodePath = ("model", "policy")


def adopted(job: Job, document: Document, read: Callable[[str], Job]) -> tuple[Job, Document]:
    """Take over the settings of the adapter that goes on, from its folder or from the spec that trains it.

    ``read`` reads another spec.

    Raises DiagnosticError (E616) where the policy brings no adapter, or another one than the spec describes. An
    adapter of the hub is compared when the job starts.
    """
    adapter, policy = job.model.adapter, job.model.policy
    if adapter is None or adapter.start != POLICY_OWN:
        return job, document
    held = None if not isinstance(policy, str) else _of_maker(document, read)
    if held is None and isinstance(policy, str) and policy.startswith("/"):
        held = _of_folder(FilePath(policy))
        if held is None and not FilePath(policy).exists():
            return job, document
    if held is None and isinstance(policy, str) and not policy.startswith("/"):
        return job, document
    if not held:
        raise DiagnosticError(_none(job, document))
    asked = {
        name: getattr(adapter, name) for name in type(adapter).model_fields if _is_written(document, name)
    }
    found = list(_contradictions(asked, held, document, str(policy)))
    if found:
        raise DiagnosticError(found)
    taken = {name: value for name, value in held.items() if name not in asked}
    data = job.model_dump()
    data["model"]["adapter"] |= taken
    origins = {(*ADAPTER, name): Origin("the policy's adapter") for name in taken}
    return Job.model_validate(data), replace(document, origins={**document.origins, **origins})


def _is_written(document: Document, name: str) -> bool:
    return (*ADAPTER, name) in document.origins


def _of_maker(document: Document, read: Callable[[str], Job]) -> Mapping[str, Any] | None:
    """Give the settings of the adapter that the spec of `{run: …}` trains: none is an empty mapping."""
    maker = producers(document).get(POLICY)
    if maker is None or not is_spec(maker):
        return None
    made = read(maker).model.adapter
    return made.model_dump(exclude={"kind", "start", "init_lora_weights"}) if made else {}


def _of_folder(folder: FilePath) -> Mapping[str, Any] | None:
    """Read the settings of the adapter in a folder: None where it holds none."""
    path = folder / ADAPTER_CONFIG
    if not is_file(path):
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return described(config) if isinstance(config, dict) and config.get("r") else None


def _none(job: Job, document: Document) -> Diagnostic:
    where = f"`{job.model.policy}`" if isinstance(job.model.policy, str) else "a new model"
    message = f"`start: policy` goes on with the adapter of the policy, but {where} brings none"
    return Diagnostic("E616", message, document.span((*ADAPTER, "start")), help="set `start: new`")


def _contradictions(
    asked: Mapping[str, Any], held: Mapping[str, Any], document: Document, policy: str
) -> Iterator[Diagnostic]:
    for name, wanted, own in disagreements(asked, held):
        message = f"`{name}` is {wanted}, but the adapter that goes on has {own}"
        why = f"`start: policy` goes on with the adapter in `{policy}`, whose settings apply"
        help_ = f"delete `{name}`, or set `start: new` for a new adapter"
        yield Diagnostic("E616", message, document.span((*ADAPTER, name)), why=why, help=help_)
