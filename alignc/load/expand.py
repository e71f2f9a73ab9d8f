"""The expansion of presets: from `{preset: dpo, beta: 0.1}` to terms, with the origin of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alignc.contract.kinds import ONLINE, SELF_PLAY
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.diagnostics.suggest import did_you_mean
from alignc.formula import parsing as formula
from alignc.load.bound import Bound, Files, Places, bind, find
from alignc.load.check import missing_field, unknown_field
from alignc.load.document import Document, Origin, leaves
from alignc.load.nested import OWN, Place, as_objective, is_preset, listed, numbered, outside_terms, place_of
from alignc.load.preset import Parameter, Preset
from alignc.spec.rows import sampled_source
from alignc.yaml.source import NodePath

__all__ = ["Bound", "Expanded", "Nested", "expand"]

OBJECTIVE: NodePath = ("objective",)


@dataclass(frozen=True)
class Nested:
    """A preset that is used as a term: its parameters, and a label that makes their names unique."""

    preset: Preset
    parameters: dict[str, Bound]
    label: str


@dataclass(frozen=True)
class Expanded:
    """A document whose objective has only terms, with its preset, and the nested presets by index of their terms."""

    document: Document
    preset: Preset | None
    parameters: dict[str, Bound]
    nested: Mapping[int, Nested] = field(default_factory=dict)


def expand(document: Document, before: Files = (), also: tuple[str, ...] = ()) -> Expanded:
    """Expand the presets of the objective. Raises DiagnosticError with all errors of the objective.

    `before` lists the chain of preset files, none of which may occur again. `also` lists fields that are allowed
    beside the parameters.
    """
    objective = document.data.get("objective")
    if not isinstance(objective, dict) or not ({"preset", "terms"} & objective.keys()):
        return _without_preset(document, objective)
    if "preset" not in objective:
        if guess := did_you_mean("preset", [k for k in objective if k != "terms"]):
            raise DiagnosticError([unknown_field((*OBJECTIVE, guess), ["preset", "terms"], document)[0]])
        return _without_own_preset(listed(document), before)
    preset, places, texts, before = find(document, objective["preset"], before)
    document = replace(document, texts={**document.texts, **texts})
    parameters = bind(document, preset, places, also)
    return _expanded(document, preset, parameters, places, before)


def _without_preset(document: Document, objective: Any) -> Expanded:
    if isinstance(objective, dict):
        guess = did_you_mean("preset", list(objective)) or did_you_mean("terms", list(objective))
        if guess:
            raise DiagnosticError([unknown_field((*OBJECTIVE, guess), ["preset", "terms"], document)[0]])
        raise DiagnosticError([missing_field((*OBJECTIVE, "preset"), document)])
    return Expanded(document, None, {})


def _expanded(
    document: Document, preset: Preset, parameters: dict[str, Bound], places: Places, before: Files
) -> Expanded:
    given = document.data["objective"]
    out = _Terms(document, preset, parameters, places, before)
    for index, term in _applying(preset, parameters):
        out.add(index, term)
    out.lay_over(given.get("terms", {}))
    data = {**document.data, "objective": {"preset": given["preset"], "terms": out.terms}}
    defaults: dict[NodePath, Origin] = {}
    for section, values in _defaults(preset, document).items():
        laid, origins = out.section(section, values)
        data = _laid_under(data, section, laid)
        defaults |= origins
    own = {p: o for p, o in out.origins.items() if p not in defaults}
    origins = {**defaults, **outside_terms(document), **own}
    expanded = replace(document, data=data, origins=origins, bindings=out.bindings, texts=out.texts)
    return Expanded(expanded, preset, parameters, out.nested)


def _defaults(preset: Preset, document: Document) -> dict[NodePath, dict[str, Any]]:
    """Collect the defaults of a preset outside the objective; those of `online` apply only to sampled responses."""
    rows = _sampled_rows(document)
    kind = document.get((*rows, "kind")) if rows else None
    found: dict[NodePath, dict[str, Any]] = {("train",): dict(preset.train)}
    for name, values in preset.online.items() if rows else ():
        section = rows if name == "data" else (name,)
        fitting = {k: v for k, v in values.items() if k != "iterations" or kind == SELF_PLAY}
        found[section] = {**found.get(section, {}), **fitting}
    return found


def _sampled_rows(document: Document) -> NodePath:
    """Return the path of the rows that the policy samples: `data`, one of its sources, or () for given rows."""
    data = document.data.get("data")
    if not isinstance(data, dict):
        return ()
    if data.get("kind") in ONLINE:
        return ("data",)
    sources = data.get("sources")
    name = sampled_source(sources) if isinstance(sources, dict) else None
    return () if name is None else ("data", "sources", name)


def _laid_under(data: dict[str, Any], path: NodePath, values: dict[str, Any]) -> dict[str, Any]:
    """Add defaults to a section; the types later refuse a value that is not a section."""
    if not path:
        return {**values, **data}
    name = str(path[0])
    inner = data.get(name, {})
    return {**data, name: _laid_under(inner, path[1:], values)} if isinstance(inner, dict) else data


def _without_own_preset(document: Document, before: Files) -> Expanded:
    """Expand the presets among the terms of an objective without `preset`."""
    terms = document.data["objective"]["terms"]
    path: NodePath = (*OBJECTIVE, "terms")
    if not isinstance(terms, list) or not any(
        is_preset(term, document, (*path, index)) for index, term in enumerate(terms)
    ):
        return Expanded(document, None, {})
    out = _Terms(document, None, {}, {}, before)
    out.reserved = {str(t["name"]) for t in terms if isinstance(t, dict) and "kind" in t and "name" in t}
    _all_of(lambda term, index: out.take(term, (*path, index)), zip(terms, range(len(terms)), strict=True))
    data = {**document.data, "objective": {**document.data["objective"], "terms": out.terms}}
    origins = {**outside_terms(document), **out.origins}
    expanded = replace(document, data=data, origins=origins, bindings=out.bindings, texts=out.texts)
    return Expanded(expanded, None, {}, out.nested)


def _all_of(step: Callable[[Any, Any], None], pairs: Iterable[tuple[Any, Any]]) -> None:
    """Call `step` for each pair. Raises DiagnosticError with the errors of all calls."""
    found: list[Diagnostic] = []
    for one, other in pairs:
        try:
            step(one, other)
        except DiagnosticError as error:
            found += error.diagnostics
    if found:
        raise DiagnosticError(found)


def _applying(preset: Preset, parameters: dict[str, Bound]) -> list[tuple[int, dict[str, Any]]]:
    """Select the terms whose `when` holds for the parameters, with their indexes in the preset."""
    kept = []
    for index, term in enumerate(preset.terms):
        wanted = term.get("when", {})
        if all(parameters[name].value == value for name, value in wanted.items()):
            kept.append((index, {key: value for key, value in term.items() if key != "when"}))
    return kept


class _Terms:
    """The terms under construction: first the terms of a preset, then the changes of the spec."""

    def __init__(
        self,
        document: Document,
        preset: Preset | None,
        parameters: dict[str, Bound],
        places: Places,
        before: Files,
    ) -> None:
        self.document, self.parameters, self.places, self.before = document, parameters, places, before
        self.own = Origin(f"preset:{preset.preset}" if preset else document.file)
        self.terms: list[dict[str, Any]] = []
        self.origins: dict[NodePath, Origin] = {}
        self.bindings: dict[NodePath, str] = {}
        self.nested: dict[int, Nested] = {}
        self.texts: dict[str, str] = dict(document.texts)
        self.reserved: set[str] = set()
        """Names of later terms."""

    def add(self, index: int, term: dict[str, Any]) -> None:
        """Add a term of the preset, with the values of its parameters."""
        path: NodePath = (*OBJECTIVE, "terms", len(self.terms))
        given = self._substitute(term, path, ("terms", index))
        if not is_preset(given, self.document, path):
            self.terms.append(given)
            return
        origins = {p: o for p, o in self.origins.items() if p[: len(path)] == path}
        self._forget(path)
        self._lay_in(replace(self.document, origins=origins), given, path)

    def section(
        self, path: NodePath, values: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[NodePath, Origin]]:
        """Return the defaults of a section with the values of parameters, and their origins."""
        laid = {k: self._substitute(v, (*path, k), (path[0], k)) for k, v in values.items()}
        return laid, {p: o for p, o in self.origins.items() if p[: len(path)] == path}

    def take(self, term: Any, source: NodePath) -> None:
        """Add a term of the spec, or the terms of the preset that it names."""
        if is_preset(term, self.document, source):
            self._lay_in(self.document, term, source)
            return
        self._copy_origins(source, (*OBJECTIVE, "terms", len(self.terms)))
        self.terms.append(term)

    def _lay_in(self, document: Document, term: dict[str, Any], source: NodePath) -> None:
        """Expand the preset that a term names, and add its terms."""
        inner = expand(as_objective(document, term, source), self.before, OWN)
        place = place_of(document, term, source, inner.parameters)
        self.texts |= inner.document.texts
        labels: dict[str, str] = {}
        given = inner.document.data["objective"]["terms"]
        for index, each in enumerate(given):
            assert inner.preset is not None
            own = inner.nested.get(index, Nested(inner.preset, inner.parameters, inner.preset.preset))
            label = labels.setdefault(own.label, numbered(own.label, {n.label for n in self.nested.values()}))
            self._move(inner.document, index)
            at = len(self.terms)
            if self.origins[(*OBJECTIVE, "terms", at)].span is None and (named := document.origin(source)):
                self.origins[(*OBJECTIVE, "terms", at)] = named  # a missing field is reported there
            self.nested[at] = replace(own, label=label)
            self.terms.append(self._placed(each, place, len(given), at))

    def _placed(self, term: dict[str, Any], place: Place, count: int, at: int) -> dict[str, Any]:
        """Give a term of a nested preset its unique name, its weight and its source of rows."""
        path: NodePath = (*OBJECTIVE, "terms", at)
        own = str(term.get("name"))
        wanted = own if place.name is None else place.name if count == 1 else f"{place.name}_{own}"
        taken = {str(t.get("name")) for t in self.terms if isinstance(t, dict)} | self.reserved
        placed = {**term, "name": numbered(wanted, taken) if isinstance(wanted, str) else wanted}
        if "name" in place.origins:
            self.origins[(*path, "name")] = place.origins["name"]
        if place.data is not None and "data" not in term:
            placed["data"], self.origins[(*path, "data")] = place.data, place.origins["data"]
        weight = term.get("weight", 1)
        if place.weight is not None and isinstance(weight, int | float):
            placed["weight"] = weight * place.weight
            self._weigh(place.weight, place.origins["weight"], at)
        return placed

    def _weigh(self, weight: float, origin: Origin, at: int) -> None:
        """Record the origin of a weight: a factor of its own, or a further factor in a formula of the preset."""
        path: NodePath = (*OBJECTIVE, "terms", at, "weight")
        if path not in self.bindings:
            self.origins[path] = origin
            return
        own = self.nested[at]
        known = own.parameters.get("weight")
        if known is None:
            self.bindings[path] = f"({self.bindings[path]})*weight"
        before = known.value if known else 1.0
        factor = weight * (before if isinstance(before, int | float) else 1.0)
        bound = Bound("weight", factor, Parameter(symbol="λ"), origin)
        self.nested[at] = replace(own, parameters={**own.parameters, "weight": bound})

    def _move(self, inner: Document, index: int) -> None:
        """Copy the origins of the values of an inner term."""
        old: NodePath = (*OBJECTIVE, "terms", index)
        new: NodePath = (*OBJECTIVE, "terms", len(self.terms))
        self.origins |= {(*new, *p[3:]): o for p, o in inner.origins.items() if p[:3] == old}
        self.bindings |= {(*new, *p[3:]): t for p, t in inner.bindings.items() if p[:3] == old}

    def _substitute(self, value: Any, path: NodePath, source: NodePath) -> Any:
        self.origins[path] = self.places.get(source, self.own)
        if isinstance(value, dict):
            return {k: self._substitute(v, (*path, k), (*source, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self._substitute(v, (*path, i), (*source, i)) for i, v in enumerate(value)]
        if isinstance(value, str) and value.startswith("="):
            return self._bind(value[1:].strip(), path)
        return value

    def _bind(self, text: str, path: NodePath) -> Any:
        self.bindings[path] = text
        if text in self.parameters:
            bound = self.parameters[text]
            self.origins[path] = bound.origin
            if isinstance(bound.value, dict):
                self.origins |= self._parts(text, bound.value, path)
            return bound.value
        numbers = {n: float(b.value) for n, b in self.parameters.items() if isinstance(b.value, (int, float))}
        value, used = self._value(text, numbers, path)
        given = [replace(self.parameters[n].origin, at=None) for n in used if self._is_given(n)]
        self.origins[path] = next(iter(given), self.origins[path])
        return value

    def _parts(self, name: str, value: dict[str, Any], path: NodePath) -> dict[NodePath, Origin]:
        """Record the origin of each value in a part of a term, under the parameter and under the term."""
        given: NodePath = (*OBJECTIVE, name)
        found = {(*given, *p): self.document.origins.get((*given, *p), self.own) for p, _ in leaves(value)}
        return {**found, **{(*path, *p[len(given) :]): origin for p, origin in found.items()}}

    def _is_given(self, name: str) -> bool:
        origin = self.parameters[name].origin
        return origin.span is not None and origin != self.places.get(("parameters", name, "default"))

    def _value(self, text: str, numbers: dict[str, float], path: NodePath) -> tuple[float, list[str]]:
        """Evaluate a formula of a preset; an error is reported in the file of the preset."""
        span = self.origins[path].span or self.document.span((*OBJECTIVE, "preset"))
        try:
            tree = formula.parse(text)
            used = sorted(formula.names(tree))
            unknown = next((n for n in used if n not in numbers), None)
            if unknown is None:
                return formula.value_of(tree, numbers), used
        except formula.FormulaError as error:
            code = "E004" if "finite" in str(error) else "E003"
            raise DiagnosticError(Diagnostic(code, f"`={text}`: {error}", span)) from None
        guess = did_you_mean(unknown, numbers)
        hint = f"did you mean `{guess}`?" if guess else f"the parameters are: {', '.join(numbers)}"
        message = f"`={text}` names `{unknown}`, but no parameter with a number has this name"
        raise DiagnosticError(Diagnostic("E002", message, span, help=hint))

    def lay_over(self, given: Any) -> None:
        if not isinstance(given, dict):
            raise DiagnosticError(
                [
                    Diagnostic(
                        "E003",
                        "`terms` together with a preset must be a mapping from the name of a term to its changes",
                        self.document.span((*OBJECTIVE, "terms")),
                    )
                ]
            )
        _all_of(lambda name, change: self._change(str(name), change), given.items())

    def _change(self, name: str, change: Any) -> None:
        source: NodePath = (*OBJECTIVE, "terms", name)
        index = next((i for i, t in enumerate(self.terms) if t.get("name") == name), None)
        if index is None:
            self._append(name, change, source)
        elif not isinstance(change, dict):
            raise DiagnosticError(
                [Diagnostic("E003", f"`{name}` must be a mapping of changes", self.document.span(source))]
            )
        else:
            self.terms[index] = self._laid(self.terms[index], change, (*OBJECTIVE, "terms", index), source)

    def _append(self, name: str, change: Any, source: NodePath) -> None:
        known = [str(t["name"]) for t in self.terms]
        if is_preset(change, self.document, source):
            self.take_named(name, change, source)
            return
        if not isinstance(change, dict) or "kind" not in change:
            if isinstance(change, dict) and (guess := did_you_mean("kind", list(change))):
                raise DiagnosticError(unknown_field((*source, guess), ["kind"], self.document)[0])
            raise DiagnosticError([unknown_field(source, known, self.document)[0]])
        path: NodePath = (*OBJECTIVE, "terms", len(self.terms))
        self._copy_origins(source, path)
        self.terms.append({"name": name, **change})

    def take_named(self, name: str, term: dict[str, Any], source: NodePath) -> None:
        """Add the terms of a preset under a given name."""
        named = (*source, "name")
        origins = {**self.document.origins, named: replace(self.document.origins[source], at=None)}
        self._lay_in(replace(self.document, origins=origins), {"name": name, **term}, source)

    def _laid(self, base: Any, change: dict[str, Any], path: NodePath, source: NodePath) -> Any:
        same = not ("kind" in change and change["kind"] != base.get("kind"))
        self._refuse_misspelt_kind(base, change, source)
        laid = dict(base) if same else {k: v for k, v in base.items() if k == "name"}
        for key, value in change.items():
            at = (*path, key)
            nested = isinstance(value, dict) and isinstance(laid.get(key), dict)
            if nested:
                laid[key] = self._laid(laid[key], value, at, (*source, key))
                self.origins[at] = self.document.origins[(*source, key)]
                continue
            laid[key] = value
            self._forget(at)
            self._copy_origins((*source, key), at)
        return laid

    def _refuse_misspelt_kind(self, base: Any, change: dict[str, Any], source: NodePath) -> None:
        """Report only a misspelt kind; its other fields would be unknown to the kind of the base."""
        for key in {"kind", "of"} & base.keys() - change.keys():
            if guess := did_you_mean(key, [k for k in change if k not in base]):
                raise DiagnosticError(unknown_field((*source, guess), [key], self.document)[0])

    def _forget(self, path: NodePath) -> None:
        self.origins = {p: o for p, o in self.origins.items() if p[: len(path)] != path}
        self.bindings = {p: t for p, t in self.bindings.items() if p[: len(path)] != path}

    def _copy_origins(self, source: NodePath, path: NodePath) -> None:
        for old, origin in self.document.origins.items():
            if old[: len(source)] == source:
                self.origins[(*path, *old[len(source) :])] = origin
