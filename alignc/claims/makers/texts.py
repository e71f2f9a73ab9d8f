"""The texts of presets: sentences that apply to a spec, with their values read from it, and prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.claims.kinds.spec import Bound, Prose, Stated
from alignc.claims.model import Claim, Section, Subject
from alignc.load.load import Loaded
from alignc.load.preset import Note, Preset

__all__ = ["deviations", "health", "read", "uses"]

PLACE = re.compile(r"\{([a-z_][a-z_0-9]*(?:\.[a-z_0-9]+)+)\}")


def deviations(subject: Subject) -> Iterator[Claim]:
    """List the deviations of the preset, then those of the presets of single terms under their labels."""
    for label, preset in _presets(subject.spec):
        for note in preset.deviations:
            yield from _said(subject, note, Section.DEVIATIONS, f"{label}: " if label else "")


def health(subject: Subject) -> Iterator[Claim]:
    """List what the preset says of curves that the run logs."""
    logged = {"loss", "eval_loss", *subject.needs.metrics, *ROLLOUT}
    for label, preset in _presets(subject.spec):
        for metric, note in preset.healthy.items() if not label else ():
            if metric in logged or "/" not in metric:
                yield from _said(subject, note, Section.HEALTHY, f"{metric}: ")


ROLLOUT = ("objective/scores", "objective/kl", "rollout/degenerate_groups")
"""Metrics of rollouts that presets speak of."""


def uses(subject: Subject) -> Iterator[Claim]:
    """Say in which situation the method fits."""
    if subject.spec.preset is not None and subject.spec.preset.when:
        yield Prose(Section.WHEN, subject.spec.preset.when)


def _presets(spec: Loaded) -> Iterator[tuple[str, Preset]]:
    if spec.preset is not None:
        yield "", spec.preset
    yield from {n.label: (n.label, n.preset) for n in spec.nested.values()}.values()


def _said(subject: Subject, note: str | Note, part: Section, head: str) -> Iterator[Claim]:
    """Say a sentence if it applies to the spec."""
    if isinstance(note, str):
        yield Prose(part, head + note)
        return
    while_ = tuple(_holding(subject, note.applies))
    if any(read(subject.spec, b.paths[0]) != b.value for b in while_):
        return
    if note.unless and all(read(subject.spec, path) == value for path, value in note.unless.items()):
        return
    places = dict.fromkeys(PLACE.findall(note.text))
    if any(read(subject.spec, path) is MISSING for path in places):
        return
    template = _escaped(head)
    for i, part_ in enumerate(PLACE.split(note.text)):
        template += "{" + part_.replace(".", "_") + "}" if i % 2 else _escaped(part_)
    bound = tuple(Bound(p.replace(".", "_"), _plain(read(subject.spec, p)), (p,)) for p in places)
    if bound or while_:
        yield Stated(part, template, bound, while_)
    else:
        yield Prose(part, head + note.text)


def _holding(subject: Subject, applies: Mapping[str, Any]) -> Iterator[Bound]:
    for path, value in applies.items():
        yield Bound(path, value, (path,))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _plain(value: Any) -> float | str:
    return value if isinstance(value, int | float | str) else str(value)


MISSING = object()


def read(spec: Loaded, path: str) -> Any:
    """Read a field by its path: of a section, or of a term by its name; MISSING where there is none."""
    first, *rest = path.split(".")
    whole = (spec.whole or spec).job
    named = {t.name: t for t in spec.job.objective.terms}
    sections = {"data": spec.job.data, "train": whole.train, "launch": whole.launch, "model": whole.model}
    node: Any = named.get(first, sections.get(first, MISSING))
    for step in rest:
        node = getattr(node, step, MISSING)
    return node
