"""Claims about the name of a method: a preset, or a variant of it with the axes that the spec changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.checks.axes import unread_steps
from alignc.checks.rule import Checked
from alignc.claims.kinds.spec import Variant
from alignc.claims.model import Claim, Subject
from alignc.load.bound import Bound
from alignc.load.load import Loaded
from alignc.load.preset import Paper, Preset
from alignc.lower.surrogates import SURROGATES
from alignc.spec.objective import PolicyGradient, Term
from alignc.spec.scores import LOG_PROB, LOG_RATIO
from alignc.yaml.scalars import scalar_text

__all__ = ["citation", "titles"]


def citation(paper: Paper, *, place: bool = True) -> str:
    """Cite a paper in one line, with the place of the loss in it."""
    where = f", {paper.where}" if paper.where and place else ""
    number = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    return f"{paper.authors} {paper.year}{where}{number}"


def titles(subject: Subject) -> Iterator[Claim]:
    """Name the method of a spec."""
    spec = subject.spec
    if spec.preset is None:
        named = dict.fromkeys(n.preset.title for n in spec.nested.values())
        whole = len(spec.nested) == len(spec.job.objective.terms)
        title = " + ".join(named) if whole else "an objective without a preset"
        axes = [a for n in _sources(spec).values() for a in _parameters(n.parameters, f"{n.label}.")]
        yield Variant("", title, None, tuple(axes) if whole else ())
        return
    names = [t.name for t in spec.job.objective.terms]
    unread = {
        ".".join((names[index], *steps))
        for index, steps in unread_steps(Checked(spec, subject.loss, (subject.loss,)))
    }
    written = _overrides(spec, spec.preset)
    axes = [*_parameters(_read(spec)), *((n, v) for n, v in written if n not in unread)]
    paper = spec.preset.paper
    cited = citation(paper, place=not axes) if paper else None
    if cited and axes:
        cited = f"after {cited}"
    yield Variant(spec.preset.preset, spec.preset.title, cited, tuple(axes))


def _sources(spec: Loaded) -> Mapping[str, Any]:
    return {n.label: n for n in spec.nested.values()}


NUMBERS = ("number", "integer")
"""Types of parameters that are a number within a form."""


def _read(spec: Loaded) -> Mapping[str, Bound]:
    """List the parameters, without numbers in whose every place the spec wrote another value."""
    words = {w for formula in spec.document.bindings.values() for w in re.findall(r"\w+", formula)}
    return {n: bound for n, bound in spec.parameters.items() if n in words or not _plain(bound.value)}


def _parameters(parameters: Mapping[str, Bound], prefix: str = "") -> Iterator[tuple[str, str]]:
    """List the parameters that change the form of the loss, and not only a number in it."""
    for name, bound in parameters.items():
        default = bound.parameter.default
        value = _whole(bound.value, default)
        if bound.parameter.type in NUMBERS and _plain(value) and _plain(default):
            if (default == 0) != (value == 0):
                yield f"{prefix}{name}", _shown(value)
        elif isinstance(value, dict) and isinstance(default, dict):
            yield from _changed(value, default, f"{prefix}{name}.")
        elif value != default:
            yield f"{prefix}{name}", _shown(value)


def _whole(value: Any, before: Any) -> Any:
    """Write the name of a kind in full, where an axis stood."""
    return {"kind": value} if isinstance(value, str) and isinstance(before, dict) else value


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _changed(value: Mapping[str, Any], default: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    if value.get("kind") != default.get("kind"):
        yield prefix.removesuffix("."), _shown(value)
        return
    for key, inner in value.items():
        before = default.get(key)
        if inner != before and not (_plain(inner) and _plain(before) and before != 0 and inner != 0):
            yield f"{prefix}{key}", _shown(inner)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return next((str(value[k]) for k in ("kind", "of", "estimator") if k in value), "changed")
    return scalar_text(value)


def _reads_ratio(term: Term) -> bool:
    return isinstance(term, PolicyGradient) and SURROGATES[term.surrogate.kind].reads_ratio


NO_FORM = ("name", "data", "gae_lambda")
"""Fields of a term that change no form of the loss: names, and a number of the rollout."""


def _overrides(spec: Loaded, preset: Preset) -> Iterator[tuple[str, str]]:
    """List what the spec writes over the terms of its preset."""
    document = spec.document
    own = {term.get("name"): term for term in preset.terms}
    for index, term in enumerate(spec.job.objective.terms):
        known = own.get(term.name)
        if known is None:
            yield "terms", term.name
            continue
        changed = term.model_dump(exclude_defaults=True)
        for key, value in document.get(("objective", "terms", index), {}).items():
            if (
                key in NO_FORM
                or (key == "ratio" and not _reads_ratio(term))
                or (key not in changed and key not in known)
            ):
                continue
            path = ("objective", "terms", index, key)
            yield from _laid(spec, path, value, known.get(key), f"{term.name}.{key}")


def _laid(spec: Loaded, path: Any, value: Any, before: Any, name: str) -> Iterator[tuple[str, str]]:
    """Compare a written value with what the preset has at its place."""
    bound = spec.parameters.get(before[1:]) if isinstance(before, str) and before.startswith("=") else None
    if bound is not None and isinstance(bound.value, dict):
        before = bound.value
    elif (
        bound is not None
        and bound.parameter.type in NUMBERS
        and _plain(value)
        and _plain(bound.parameter.default)
        and (value == 0) == (bound.parameter.default == 0)
    ):
        return  # another number in the place of a parameter's
    elif value == before or path in spec.document.bindings or (bound is not None and bound.value == value):
        return
    value = _whole(value, before)
    if isinstance(value, dict) and isinstance(before, dict) and value.get("kind") == before.get("kind"):
        for key, inner in value.items():
            anchored = {**before, **value}.get("anchor") not in (None, "none")
            if key == "of" and anchored and {inner, before.get(key)} == {LOG_PROB, LOG_RATIO}:
                continue  # a log-probability less that of an anchor is a log-ratio
            if inner != before.get(key):
                yield from _laid(spec, (*path, key), inner, before.get(key), f"{name}.{key}")
        return
    yield name, _shown(value)
