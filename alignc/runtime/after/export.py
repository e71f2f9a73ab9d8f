"""Write a trained model as a folder that `from_pretrained` reads, whole and by itself.

The folder is written aside and renamed. It holds the weights as safetensors, the tokenizer with its chat template,
the generation's settings, the model card as `README.md`, and `alignc.json`: the resolved spec, where each of its values
came from, and which step of which run this is. An adapter is merged into its base, or written alone.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ...contract.failure import Failure
from ...contract.files import MODEL, QUANTIZATION, job_file
from ...contract.job import Job, Model
from ...contract.outputs import Quantity
from ..base import fsops
from ..base.endings import end_ids
from ..data.tokenizer import load_tokenizer
from ..kernels.attention import causal_lm
from ..models.adapters import is_adapted, merged
from ..models.critic import CRITIC
from ..models.load import has_own_critic, has_value_head, resumed_model
from ..models.precision import DTYPES
from ..models.read import read_folder, saved_dtype
from ..models.value import VALUE_HEAD
from ..train.card import card_of, rows_told
from ..train.run_job import quiet
from .trained import Trained, read

__all__ = ["Exported", "Wanted", "export", "has_critic"]

ABOUT = "alignc.json"
MODEL_FILES = ("config.json", "adapter_config.json")
ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True)
class Wanted:
    """Where to, and in which form: an adapter merged or alone, a type of numbers, the critic too."""

    target: Path
    merge: bool = True
    dtype: str | None = None
    critic: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Exported:
    """A written folder: its path, the step that it is of, its kind, its type of numbers, its size in bytes."""

    folder: str
    step: int
    kind: str
    dtype: str
    bytes: int


def export(source: Trained, wanted: Wanted) -> Exported:
    """Write the folder. Failure E603 for a target in use; what reading models and tokenizers raises."""
    quiet()
    target = wanted.target.absolute()
    refuse_target(source, target, wanted.overwrite)
    aside = target.with_name(f".{target.name}.tmp")
    try:
        fsops.make_folder(aside)
        kind, dtype = write(source, wanted, aside)
        size = sum(path.stat().st_size for path in aside.rglob("*.safetensors"))
        fsops.sync_tree(aside)
        put(aside, target)
    finally:
        fsops.remove(aside)
    return Exported(str(wanted.target), source.step, kind, str(dtype).removeprefix("torch."), size)


def has_critic(job: Job) -> bool:
    """Tell whether a job trains values beside its policy."""
    return has_own_critic(job) or has_value_head(job)


def refuse_target(source: Trained, target: Path, overwrite: bool) -> None:
    """Refuse (E603) a folder in use, or with `overwrite` one whose loss would be more than an older model's."""
    within = target.resolve() == source.run.resolve() or target.resolve() in source.folder.resolve().parents
    if within or source.folder.resolve() in (target.resolve(), *target.resolve().parents):
        raise in_use(target, "holds the run itself", "choose another folder")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise in_use(
            target, "is not empty", "choose another folder, or replace the model in it with --overwrite"
        )
    if not any((target / name).is_file() for name in MODEL_FILES):
        raise in_use(target, "does not hold a model", "choose another folder, or empty this folder yourself")


def in_use(target: Path, what: str, help_: str) -> Failure:
    """Say that a folder cannot be written over."""
    return Failure(
        "E603", f"`{target}` {what}", why="its content would be lost", help=help_, file=str(target)
    )


def put(aside: Path, target: Path) -> None:
    """Give a written folder its name; a folder that had the name before is removed only then."""
    before = target.with_name(f".{target.name}.old")
    fsops.remove(before)
    if target.exists():
        fsops.rename(target, before)
    fsops.rename(aside, target)
    fsops.remove(before)


def write(source: Trained, wanted: Wanted, folder: Path) -> tuple[str, torch.dtype]:
    """Write all files; return the kind of the model, and the type of its numbers."""
    section = dataclasses.replace(source.job.spec.model, policy=str(source.folder), revision=None)
    tokenizer = load_tokenizer(section)
    asked = DTYPES[wanted.dtype] if wanted.dtype else None
    alone = source.job.spec.model.adapter is not None and not wanted.merge
    made = (
        copy_adapter(source.folder, folder, asked) if alone else write_model(source, tokenizer, folder, asked)
    )
    if wanted.critic:
        write_critic(source, section, folder, made)
    tokenizer.save_pretrained(str(folder))
    write_words(source, wanted, folder, "peft" if alone else "transformers")
    rewards = Quantity.SCORE in source.job.needs.outputs
    return ("adapter" if alone else "reward model" if rewards else "model"), made


def write_model(source: Trained, tokenizer: Any, folder: Path, asked: torch.dtype | None) -> torch.dtype:
    """Write the whole model; an adapter is merged into its base in float32 at the least, and rounded once."""
    model: Any = resumed_model(without_critic(source.job), tokenizer, source.folder)
    if is_adapted(model):
        own = causal_lm(model).dtype
        model = merged(model, asked or own)
    else:
        own = written_dtype(source.folder)
    model = model.to(asked or own)
    with_endings(model, tokenizer)
    model.save_pretrained(str(folder))
    return asked or own


OF_STATES = (Quantity.DIVERGENCE, Quantity.TOKEN_VALUE, Quantity.VALUE)


def without_critic(job: Job) -> Job:
    """Leave out the outputs that are read off states, so that a policy is read without its critic."""
    outputs = [name for name in job.needs.outputs if name not in OF_STATES]
    return dataclasses.replace(job, needs=dataclasses.replace(job.needs, outputs=outputs))


def written_dtype(folder: Path) -> torch.dtype:
    """Read the type that a model computes in; its checkpoints may hold wider weights."""
    named = read(folder / "config.json").get("dtype")
    return DTYPES[named] if named in DTYPES else saved_dtype(folder)


def with_endings(model: Any, tokenizer: Any) -> None:
    """See to it that generation ends where the trained responses ended, and that padding has an id."""
    if model.config.get_text_config().pad_token_id is None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    settings = getattr(model, "generation_config", None)
    if settings is None or not model.can_generate():
        return
    known = settings.eos_token_id
    ends = [] if known is None else [known] if isinstance(known, int) else list(known)
    ends = list(dict.fromkeys((*ends, *end_ids(tokenizer))))
    settings.eos_token_id = ends[0] if len(ends) == 1 else ends
    if settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id


def copy_adapter(source: Path, folder: Path, asked: torch.dtype | None) -> torch.dtype:
    """Copy an adapter without its base; return the type of its numbers."""
    shutil.copyfile(source / "adapter_config.json", folder / "adapter_config.json")
    if (source / QUANTIZATION).is_file():
        shutil.copyfile(source / QUANTIZATION, folder / QUANTIZATION)
    return copy_cast(source / ADAPTER, folder / ADAPTER, asked)


def copy_cast(source: Path, target: Path, asked: torch.dtype | None) -> torch.dtype:
    """Copy a file of weights in a type, or in its own."""
    weights = {name: value.to(asked or value.dtype) for name, value in load_file(source).items()}
    save_file(weights, target, metadata={"format": "pt"})
    dtype: torch.dtype = next(iter(weights.values())).dtype
    return dtype


def write_critic(source: Trained, section: Model, folder: Path, dtype: torch.dtype) -> None:
    """Write the critic as a sequence classifier of its own, or the value head as the file that it is."""
    if has_own_critic(source.job):
        model: Any = read_folder(str(source.folder / CRITIC), section, dtype, rewards=True)
        model.save_pretrained(str(folder / CRITIC))
    elif has_value_head(source.job):
        copy_cast(source.folder / VALUE_HEAD, folder / VALUE_HEAD, dtype)


def write_words(source: Trained, wanted: Wanted, folder: Path, library: str) -> None:
    """Write the model card and `alignc.json`."""
    whole: Mapping[str, Any] = read(job_file(source.run))
    rows = rows_told(source.run / MODEL / "README.md")
    name = wanted.target.absolute().name
    card = card_of(source.job, rows, source.metrics, whole["spec"], name, library=library)
    fsops.write_text(folder / "README.md", card)
    about = {key: whole[key] for key in ("alignc", "name", "spec", "origins", "formula")}
    about["from"] = {"run": str(source.run), "step": source.step}
    fsops.write_text(folder / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
