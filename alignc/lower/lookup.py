"""What lowering asks of a spec beside its job: where each value comes from, and which parameters of presets bind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from alignc.diagnostics import Span
from alignc.spec.job import Job
from alignc.yaml.source import NodePath

__all__ = ["Lookup", "PresetPart", "PresetValue", "SpanOf"]


class SpanOf(Protocol):
    """Finds the place in the user's files of a value, of its key, or of the nearest parent that has one."""

    def __call__(self, path: NodePath, *, of_key: bool = False) -> Span:
        """Return the span for a finding at a path."""


@dataclass(frozen=True)
class PresetValue:
    """A parameter of a preset with its value in a spec; a `part` is a whole block of a term, such as `kl`."""

    value: Any
    symbol: str
    unit: str | None
    part: bool


@dataclass(frozen=True)
class PresetPart:
    """The preset that terms come from: its parameters, and the label of one that is a term itself.

    `built_in`: the preset is alignc's own, so that its parameters may name values of emitted source.
    """

    label: str
    built_in: bool
    parameters: Mapping[str, PresetValue]


@dataclass(frozen=True)
class Lookup:
    """A job, and the origins of its values by their paths.

    `origins` has every value that the spec or its preset writes: its span, or None for a value of a preset of alignc's.
    `bindings` are the formulas over parameters that a preset writes in the place of a value. `whole` is the job of all
    sources, where this one is of one source alone, and `places` are the indexes that its terms have there.
    """

    job: Job
    whole: Job
    span: SpanOf
    origins: Mapping[NodePath, Span | None]
    bindings: Mapping[NodePath, str]
    texts: Mapping[str, str]
    preset: PresetPart | None = None
    nested: Mapping[int, PresetPart] = field(default_factory=dict)
    """By the index of a term: the preset that is this term."""
    places: tuple[int, ...] | None = None

    def preset_at(self, path: NodePath) -> PresetPart | None:
        """Find the preset that a place in the terms comes from."""
        if path[:2] == ("objective", "terms") and len(path) > 2 and path[2] in self.nested:
            return self.nested[int(path[2])]
        return self.preset

    def written(self, path: NodePath) -> NodePath:
        """Turn a path of one source's part into a path of the whole spec."""
        if self.places is None or path[:2] != ("objective", "terms") or len(path) < 3:
            return path
        return (*path[:2], self.places[int(path[2])], *path[3:])
