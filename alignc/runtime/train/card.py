"""The model card: the objective, the data, the last step, and the whole spec."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...contract.files import MODEL
from ...contract.job import Job
from ...contract.outputs import Quantity
from ..data import Counts

__all__ = ["card_of", "card_text", "rows_told"]

PACKAGES = ("alignc", "torch", "transformers", "accelerate", "deepspeed", "datasets", "peft")
ROWS = r"^\d+ of \d+ rows were used; .*$"


def card_text(job: Job, counts: Counts, final: Mapping[str, float], spec: Mapping[str, Any]) -> str:
    """Write the model card: front matter for the hub, then Markdown for people."""
    rows = (
        f"{counts.kept} of {counts.rows} rows were used; {counts.refused} were refused, "
        f"{counts.prompts_cut} prompts and {counts.completions_cut} completions were cut."
    )
    return card_of(job, rows, final, spec, str(job.output_dir / MODEL))


def card_of(
    job: Job,
    rows: str,
    final: Mapping[str, float],
    spec: Mapping[str, Any],
    folder: str,
    *,
    library: str = "transformers",
) -> str:
    """Write the card of a model in a folder; `rows` counts the rows that were used, refused and cut.

    Strings of the spec are quoted as JSON, which is YAML, so that none of them can end the front matter.
    """
    return "\n\n".join([front_matter(job, library), *body(job, rows, final, spec, folder)]) + "\n"


def rows_told(card: Path) -> str:
    """Read the counts of the rows back from a card; empty where there is no card."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    match = re.search(ROWS, text, re.MULTILINE)
    return match[0] if match else ""


def front_matter(job: Job, library: str) -> str:
    """Write the card's metadata."""
    policy = job.spec.model.policy
    named = (part.rows.source for part in job.parts or (job,))
    sources = [json.dumps(source) for source in named if is_id(source)]
    task = "text-classification" if Quantity.SCORE in job.needs.outputs else "text-generation"
    lines = ["---", f"library_name: {library}", f"pipeline_tag: {task}"]
    lines += [f"model_name: {json.dumps(job.name)}"]
    lines += [f"base_model: {json.dumps(policy)}"] if isinstance(policy, str) and is_id(policy) else []
    lines += [f"datasets: [{', '.join(sources)}]"] if sources else []
    tags = ["alignc", str(job.spec.objective.get("preset") or "custom")]
    return "\n".join([*lines, f"tags: {json.dumps(tags)}", "---"])


def is_id(name: str) -> bool:
    """Tell a hub id from a local path: paths of a resolved job are absolute."""
    return not name.startswith(("/", "\\")) and ":" not in name


def body(job: Job, rows: str, final: Mapping[str, float], spec: Mapping[str, Any], folder: str) -> list[str]:
    """Write the card's sections; a value that is not known has none."""
    data = ["## Data", rows] if rows else []
    last = ["## Last step", table(final)] if final else []
    return [
        f"# {' '.join(job.name.split())}",
        "## Objective",
        fenced(job.formula.text, "text"),
        f"$$\n{job.formula.latex}\n$$",
        *data,
        *last,
        "## Use",
        fenced(how_to_load(job, folder), "python"),
        "## Spec",
        fenced(json.dumps(spec, indent=2, ensure_ascii=False), "json"),
        "## Versions",
        ", ".join([f"Python {platform.python_version()}", *installed()]),
    ]


def how_to_load(job: Job, folder: str) -> str:
    """Write the lines that read the model from its folder. A JSON string is one of Python's too."""
    quoted = json.dumps(folder, ensure_ascii=False)
    kind = "SequenceClassification" if Quantity.SCORE in job.needs.outputs else "CausalLM"
    return (
        f"from transformers import AutoModelFor{kind}, AutoTokenizer\n\n"
        f"folder = {quoted}\n"
        f"model = AutoModelFor{kind}.from_pretrained(folder)\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)"
    )


def fenced(text: str, language: str) -> str:
    """Put text into a code block whose fence the text cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def table(values: Mapping[str, float]) -> str:
    """Write numbers as a Markdown table."""
    rows = [f"| {name} | {value:.6g} |" for name, value in values.items()]
    return "\n".join(["| metric | value |", "| --- | --- |", *rows])


def installed() -> list[str]:
    """List the versions of the packages that made the model."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return versions
