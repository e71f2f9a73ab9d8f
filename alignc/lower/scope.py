"""Where in the spec something is lowered: its numbers as parameters, its values under names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alignc.graph import build as b
from alignc.graph.gradient import from_formula
from alignc.graph.nodes import NamedRole, Node, Parameter
from alignc.graph.types import GraphTypeError, Unit
from alignc.lower.lookup import Lookup, PresetValue
from alignc.spec.anchors import other_models
from alignc.spec.model_source import RunPolicy
from alignc.yaml.source import NodePath

__all__ = ["Names", "Scope"]


@dataclass
class Names:
    """The names in use, shared by the terms of one loss."""

    known: dict[str, Node] = field(default_factory=dict)

    def value(
        self, short: str, symbol: str, meaning: str, argument: Node, role: NamedRole = NamedRole.VALUE
    ) -> Node:
        """Give a value a name of its own: the one asked for, or numbered where another value has it."""
        for number in range(1, 100):
            suffix = f"{number}" if number > 1 else ""
            mark = suffix and (suffix if "_" in symbol else f"_{suffix}")
            node = b.name(short + suffix, symbol + mark, meaning, argument, role)
            if self.known.setdefault(short + suffix, node) is node:
                return node
        raise GraphTypeError("more than 99 terms")

    def row_loss(self, loss: Node) -> Node:
        """Name the loss of a row."""
        return self.value("row_loss", "ℓ", "loss by row", loss, NamedRole.ROW_LOSS)

    def parameter(self, short: str, symbol: str, value: float, unit: Unit, path: str) -> Node:
        """Make a parameter whose symbol is its own: numbered where another parameter has it."""
        for number in range(1, 100):
            marked = f"{symbol}_{number}" if number > 1 else symbol
            node = Parameter(short, marked, value, unit, path)
            if self.known.setdefault(f"parameter {marked}", node) is node:
                return node
        raise GraphTypeError("more than 99 parameters of one name")


@dataclass(frozen=True)
class Scope:
    """The place in the spec that is being lowered: a term, or a part of one."""

    lookup: Lookup
    path: NodePath
    many: bool
    names: Names
    grouped: bool = False
    """Rows hold groups of responses (`scored` data taken as a group)."""

    def inside(self, *steps: str | int) -> Scope:
        """Step into a part of the term."""
        return Scope(self.lookup, (*self.path, *steps), self.many, self.names, self.grouped)

    def given(self, step: str) -> bool:
        """Tell whether a field was written, by the spec or its preset."""
        return (*self.path, step) in self.lookup.origins

    def model(self, anchor: str | RunPolicy) -> str:
        """Name an anchor's model: the folder or hub id of another one stands for `other`, `other2`, …"""
        if isinstance(anchor, RunPolicy):
            return "other"  # of a spec that is not there, which is said elsewhere
        return other_models(self.lookup.whole).get(anchor, anchor)

    def number(self, step: str, value: float, symbol: str, unit: Unit) -> Node:
        """Make the node of a number of the spec: a parameter with its symbol, or a constant if it is a default."""
        path = (*self.path, step)
        if binding := self.lookup.bindings.get(path):
            known = self.bound
            if binding in known and not known[binding].part:
                return self.preset_parameter(binding)
            if binding not in known:
                return from_formula(binding, {n: self.preset_parameter(n) for n in known})
        if part := self.part_of(path):
            return self.names.parameter(step, symbol, float(value), unit, f"objective.{part}.{step}")
        if self.lookup.origins.get(path) is None:
            return b.in_unit(b.constant(value), unit)
        return self.names.parameter(
            step, symbol, float(value), unit, ".".join(map(str, self.lookup.written(path)))
        )

    def part_of(self, path: NodePath) -> str | None:
        """Find the preset's parameter that is the part of the term in which a number stands."""
        name = self.lookup.bindings.get(path[:-1])
        bound = self.bound.get(name) if name else None
        known = bound is not None and isinstance(bound.value, dict) and path[-1] in bound.value
        return name if known else None

    @property
    def bound(self) -> Mapping[str, PresetValue]:
        """The parameters of the preset that this place comes from, by name."""
        source = self.lookup.preset_at(self.path)
        return source.parameters if source else {}

    def preset_parameter(self, name: str) -> Node:
        """Make the node of a preset's parameter; a choice is none."""
        source, known = self.lookup.preset_at(self.path), self.bound
        bound = known[name]
        if not isinstance(bound.value, int | float):
            return b.ZERO
        unit = Unit.parse(bound.unit)
        short = name if source is not None and source.built_in else f"p{list(known).index(name) + 1}"
        symbol = bound.symbol or "p"
        label = f"{source.label}." if source and source.label else ""
        return self.names.parameter(short, symbol, float(bound.value), unit, f"objective.{label}{name}")

    def weight(self, value: float, unit: Unit) -> Node:
        """Make the node of a term's weight, which takes the unit away where terms are added."""
        node = self.number("weight", value, "λ", unit**-1 if self.given("weight") else Unit())
        return b.in_unit(node, unit**-1) if self.many else node
