"""The page docs/architectures.md, from the data of the sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["DATA", "PAGE", "VERSIONS", "page"]

DOCS = Path(__file__).resolve().parents[3] / "docs"
DATA, PAGE = DOCS / "architectures.json", DOCS / "architectures.md"
VERSIONS = ("torch", "transformers", "peft")
HEAD = """\
# Architectures

Before the first step, a run probes its models. It scores a short batch and compares the result with the model itself.
So these tables are no list of what is allowed: they show what the probe finds for small models of each architecture.

The small models have random weights. Log-probabilities and gradients are compared with plain `model(...).logits`,
one row at a time. Greedy samples are compared with `generate`. The versions: {versions}.

- **Layout**: `packed` rows stand in one stream and share their prompts. `padded` rows stand side by side.
- **Head**: `tiles` never hold all logits. `own code` means that the model makes the logits of scored tokens.
- **Difference**: the largest difference of a log-probability, in nat. Above 1 nat it is a share of the value.
- **LoRA**: the same difference with an adapter on all linear layers.
- **Sampler**: whether greedy samples equal those of `generate`.

`python -m tests.runtime.models.sweep` writes this page again.
"""


def page(data: Mapping[str, Any]) -> str:
    """Write the whole page."""
    versions = ", ".join(f"{name} {number}" for name, number in data["versions"].items())
    every = data["architectures"]
    good = [e for e in every if "layout" in e.get("scored", {})]
    refused = [e for e in every if e.get("scored") and "layout" not in e["scored"]]
    unbuilt = [e for e in every if "built" in e]
    packed = sum(e["scored"]["layout"] == "packed" for e in good)
    summary = (
        f"Of {len(every)} architectures, {len(good)} are scored: {packed} packed and {len(good) - packed} padded. "
        f"{len(refused)} are refused. {len(unbuilt)} could not be made small."
    )
    parts = [
        HEAD.format(versions=versions),
        summary + "\n",
        "## Scored\n",
        table(("architecture", "layout", "head", "difference", "LoRA", "sampler"), map(scored_line, good)),
        "## Why rows are padded\n",
        table(("reason", "architectures"), reasons(good)),
        "## Refused\n",
        table(("architecture", "why"), [(code(e["name"]), why(e["scored"])) for e in refused]),
        "## Not made small\n",
        "The sweep does not know how to make a small model of these. A run still probes them.\n",
        listed([e["name"] for e in unbuilt]),
    ]
    if data["missing"]:
        parts += ["## Not swept\n", "The last sweep did not reach these. A run still probes them.\n"]
        parts += [listed(data["missing"])]
    return "\n".join(parts)


def table(titles: Sequence[str], lines: Any) -> str:
    """Lay out a table."""
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def listed(names: Sequence[str], wide: int = 4) -> str:
    """Lay names out in lines of a table."""
    padded = [*map(code, names), *[""] * (-len(names) % wide)]
    return table([""] * wide, [padded[at : at + wide] for at in range(0, len(padded), wide)])


def code(text: str) -> str:
    """Mark a name."""
    return f"`{text}`"


def scored_line(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Write the line of one architecture."""
    scored = found["scored"]
    return (
        code(found["name"]),
        scored["layout"],
        head(scored["head"]),
        f"{scored['off']:.0e}",
        adapter(found["adapted"]),
        sampler(found["sampled"]),
    )


def head(found: Any) -> str:
    """Say how logits are made."""
    if isinstance(found, str):
        return found
    scale = "" if found["scale"] == 1 else f", scale {found['scale']:.4g}"
    return f"tiles{scale}" + ("" if found["softcap"] is None else f", cap {found['softcap']:g}")


def adapter(found: Mapping[str, Any]) -> str:
    """Say what an adapter changes."""
    return f"{found['off']:.0e}" if "off" in found else "refused"


def sampler(found: Mapping[str, Any]) -> str:
    """Say how the sampler does."""
    if "same" in found:
        return "equal" if found["same"] else "differs"
    return "refused" if "refused" in found else "fails"


def why(found: Mapping[str, Any]) -> str:
    """Say why an architecture is not scored."""
    return str(found.get("refused") or found.get("crashed")).replace("|", "\\|")


def reasons(good: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Group the padded architectures by the reason that the probe gives."""
    groups: dict[str, list[str]] = {}
    for each in good:
        for note in each["scored"]["notes"]:
            reason = note.partition("rows are padded: ")[2].partition(" by ")[0]
            if reason:
                groups.setdefault(reason, []).append(each["name"])
    return [(reason, ", ".join(map(code, names))) for reason, names in sorted(groups.items())]
