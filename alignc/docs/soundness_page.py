"""docs/soundness.md: what random objectives and settings of presets were held to, and names with several meanings.

The numbers come from the record that `python -m tests.objectives.sweep` writes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from alignc.docs.markdown import GENERATED, code, table
from alignc.load.preset import preset_names

__all__ = ["soundness_page", "soundness_record"]

HEAD = """
# Soundness

alignc says things about an objective: a formula, a gradient, an optimum, a verdict. This page says how these sentences
are tested, and what came out. Its second part is about names that mean several things.

## Random objectives

A generator draws whole specs from the schema: every kind of term, every axis, every preset, every estimator. It also
draws the ends of ranges. The seed alone decides what is drawn. `python -m tests.objectives --show SEED` prints a spec.
Each property below is held for the objectives that the checks accept. Refused ones are held to the first property
alone.

"""
MEANS = {
    "commands": "`validate`, `explain` and `compile` agree on what is refused, where, and why. None crashes.",
    "explain": "The explanation prints, with a gradient.",
    "latex": "Another parser reads every printed formula of LaTeX.",
    "compile": "The job folder is written, and its Python is Python.",
    "gradient": "The derived gradient is that of central differences, on groups of uneven size.",
    "claims": "No claim of `explain` is refuted by its checker on numbers.",
    "verify": "`verify` has no ✗.",
    "diff": "`diff A A` is `equal`.",
    "symmetry": "`diff A B` and `diff B A` have one verdict and inverse factors. B is A with one value changed.",
    "source": "`loss.py` gives the loss of the evaluator, whole and in two micro-batches. Its gradient has no NaN.",
}
MOST = 40
"""The most failures that are listed one by one."""


def soundness_record() -> dict[str, Any]:
    """Read what the sweep found."""
    text = (resources.files("alignc.docs") / "soundness.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def soundness_page(found: Mapping[str, Any]) -> str:
    """Write the page from a record."""
    meanings = (resources.files("alignc.docs") / "meanings.md").read_text("utf-8")
    parts = (
        GENERATED,
        HEAD,
        _objectives(found),
        _failures(found),
        _settings(found.get("settings")),
        meanings,
    )
    return "".join(parts)


def _objectives(found: Mapping[str, Any]) -> str:
    drawn = found["objectives"]
    share = 100 * drawn["sound"] / drawn["seeds"]
    held = drawn["properties"]
    rows = [_row(name, held[name], _still(name, found["again"])) for name in MEANS if name in held]
    head = (
        "property",
        "one seed of",
        "objectives",
        "held",
        "undecided",
        "failed",
        "fail now",
        "what is held",
    )
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{drawn['seeds']:,} seeds were drawn, from {drawn['first']} to {drawn['last']}. Of these, {drawn['sound']:,} "
        f"({share:.0f} %) are sound, and {drawn['refused']:,} are refused with a diagnostic. "
        f"It took {drawn['cpu_seconds']:,.0f} seconds of CPU, on {found['date']}, with {versions}.\n\n"
        f"{table(head, rows)}\n"
        "`undecided` counts objectives of which a command says that something is undecided. It is no failure. "
        "A crash is a failure. `fail now` counts the seeds of this run that fail after mends.\n\n"
        "The codes of the refusals are "
        f"{', '.join(f'{code(c)} ({n})' for c, n in sorted(drawn['codes'].items()))}.\n"
    )


def _still(name: str, again: Mapping[str, Any]) -> int:
    """Count the seeds that still fail a property, or crash under it."""
    commands = ("validate", "explain", "disagreement", "hangs") if name == "commands" else (name,)
    return len(
        {
            f["seed"]
            for f in again["listed"]
            if (f["what"].split(":")[0] if f["kind"] == "crash" else f["kind"]) in commands
        }
    )


def _row(name: str, count: Mapping[str, Any], still: int) -> list[str]:
    numbers = [f"{count[key]:,}" for key in ("tried", "held", "undecided")]
    return [code(name), str(count["share"]), *numbers, str(len(count["failed"])), str(still), MEANS[name]]


def _failures(found: Mapping[str, Any]) -> str:
    """List what failed in the run, and what of it still fails."""
    listed, again = found["objectives"]["listed"], found["again"]
    if not listed:
        return "\n### What failed\n\nNothing failed.\n\n"
    seeds = sorted({f["seed"] for f in listed})
    still = sorted({f["seed"] for f in again["listed"]})
    rows = table(("seed", "property", "what happens"), _listed(again["listed"])) if still else ""
    rest = f"{len(still)} of them still fail:\n\n{rows}" if still else "All of them hold now.\n"
    return (
        f"\n### What failed\n\nIn this run, something failed for {len(seeds)} seeds: {_kinds(listed)}. "
        "After mends of alignc, every property was held again for each of these seeds, whatever its share. "
        f"{rest}\n"
    )


def _kinds(listed: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(f["kind"] for f in listed)
    return ", ".join(f"{code(kind)} {count}" for kind, count in sorted(counts.items()))


def _listed(listed: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[str(f["seed"]), code(f["kind"]), _cell(f["what"])] for f in listed[:MOST]]


def _cell(text: str) -> str:
    """Write a line in a cell of a table, without signs of Markdown."""
    return code(text.replace("`", "").replace("|", "¦").replace("\n", " "))


SETTINGS = """
## Settings of presets

`verify` runs on every preset at twenty settings of its parameters. Both ends of each range come first, one parameter at
a time. Where a range has no end, a number goes to a thousandth and to a thousandfold of its default. Random settings
follow. `python -m tests.verify.settings FILE` runs this.

"""


def _settings(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    refuted = found["refuted"]
    counts, names = Counter[str](), dict[str, Counter[str]]()
    for setting in found["undecided"]:
        counts[setting["preset"]] += 1
        for line in setting["undecided"]:
            names.setdefault(setting["preset"], Counter())[line.split(":")[0]] += 1
    rows = [
        [code(p), str(counts[p]), ", ".join(f"{about} ({n})" for about, n in names[p].most_common())]
        for p in sorted(counts)
    ]
    bad = [[code(r["preset"]), code(json.dumps(r["given"])), _cell("; ".join(r["refuted"]))] for r in refuted]
    tried, left = len(found["slowest"]), [code(n) for n in preset_names() if n not in found["slowest"]]
    return (
        f"{SETTINGS}{tried} presets ran at {found['settings']} settings. {found['held']:,} claims hold, and "
        f"{len(refuted)} settings have a claim that is refuted.\n"
        + (f"\nNot run so: {', '.join(left)}.\n" if left else "")
        + (f"\n{table(('preset', 'setting', 'refuted'), bad)}" if bad else "")
        + (
            "\nSome claims are undecided: a search did not converge, or no closed form is known.\n\n"
            f"{table(('preset', 'settings with undecided claims', 'about, and how often'), rows)}"
            if rows
            else ""
        )
        + "\n"
    )
