"""The changes between two specs in words: terms, parameters, models, forwards, columns, metrics, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignc.contract.needs import LossNeeds
from alignc.diff.model import Change
from alignc.load.document import leaves
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan import Role, roles
from alignc.printers.formula import text
from alignc.yaml.scalars import scalar_text

__all__ = ["changes"]

Spec = tuple[Loaded, Loss, LossNeeds]
SECTIONS = ("model", "data", "train", "launch")


def changes(a: Spec, b: Spec) -> tuple[Change, ...]:
    """List the differences between two specs."""
    return (
        *_formula(a[1], b[1]),
        *_terms(a[0], b[0]),
        *_parameters(a, b),
        *_models(a, b),
        *_named("column", a[2].columns, b[2].columns, "needed column:"),
        *_named("response", a[2].responses, b[2].responses, "response of a row:"),
        *_named("metric", a[2].metrics, b[2].metrics, "logged metric:"),
        *_step0(a[2], b[2]),
        *_settings(a[0], b[0]),
    )


def _change(kind: str, name: str, a: object, b: object, words: str | None = None) -> Change:
    mine, theirs = (None if x is None else scalar_text(x) for x in (a, b))
    return Change(kind, name, mine, theirs, words or f"{name}: {mine or 'none'} → {theirs or 'none'}")


def _formula(a: Loss, b: Loss) -> Iterator[Change]:
    mine, theirs = (f"L = {text(x.root, x.written_out)}" for x in (a, b))
    if mine != theirs:
        yield _change("formula", "loss", mine, theirs)


def _terms(a: Loaded, b: Loaded) -> Iterator[Change]:
    mine, theirs = ({t["name"]: t for t in x.job.model_dump()["objective"]["terms"]} for x in (a, b))
    for name in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(name), theirs.get(name)
        if one is None or other is None:
            gone = other is None
            kind = (one or other or {})["kind"]
            words = f"term {name} ({kind}) {'is removed' if gone else 'is new'}"
            yield _change("term", name, one and kind, other and kind, words)
            continue
        yield from _axes(name, one, other)


def _axes(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    """Compare two terms of one name; numbers are reported as parameters."""
    first, second = (dict(_flat(x)) for x in (one, other))
    for path in dict.fromkeys((*first, *second)):
        before, after = first.get(path), second.get(path)
        if before != after and not _both_numbers(before, after):
            yield _change("term", f"{name}.{path}", before, after)


def _flat(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in leaves(dict(tree)):
        yield ".".join(map(str, path)), value


def _both_numbers(*found: Any) -> bool:
    return all((isinstance(x, int | float) and not isinstance(x, bool)) or x is None for x in found)


def _parameters(a: Spec, b: Spec) -> Iterator[Change]:
    mine, theirs = _given(a), _given(b)
    for name in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(name), theirs.get(name)
        if one and other and one[0] == other[0]:
            continue
        shown = [f"{x[0]} ({x[1]})" if x else None for x in (one, other)]
        yield _change("parameter", name, shown[0], shown[1])


def _given(spec: Spec) -> dict[str, tuple[str, str]]:
    """Map the names of the parameters of a spec to their values and origins."""
    loaded, loss, _ = spec
    found = {n: (_plain(p.value), p.origin.label) for n, p in loaded.parameters.items()}
    for p in loss.parameters:
        path = tuple(int(s) if s.isdecimal() else s for s in p.path.split("."))
        name = p.path.removeprefix("objective.")
        if name not in found:
            bound = loaded.parameter_at(path)
            found[name] = (_plain(p.value), bound.origin.label if bound else loaded.origin(path))
    return found


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else scalar_text(value)


def _models(a: Spec, b: Spec) -> Iterator[Change]:
    held = [roles(needs, loss, loaded.job) for loaded, loss, needs in (a, b)]
    mine, theirs = ({r.role: r for r in each} for each in held)
    for role in dict.fromkeys((*mine, *theirs)):
        one, other = mine.get(role), theirs.get(role)
        if one == other:
            continue
        if one is None or other is None:
            words = f"the {role} model is {'no longer' if other is None else 'now'} loaded"
            shown = (_work(one) if one else None, _work(other) if other else None)
            yield _change("model", role, *shown, words=words)
        else:
            yield _change("model", role, _work(one), _work(other))
    forwards = [sum(r.forwards for r in each) for each in held]
    if forwards[0] != forwards[1]:
        yield _change("forwards", "forwards per row", forwards[0], forwards[1])
    mine_coupled, theirs_coupled = a[2].coupled, b[2].coupled
    if mine_coupled != theirs_coupled:
        words = f"the loss of a row {'no longer' if mine_coupled else 'now'} depends on other rows of the global batch"
        yield _change("forwards", "coupling", mine_coupled, theirs_coupled, words)


def _work(role: Role) -> str:
    return f"{role.weights}; {role.forwards} forward{'s' if role.forwards != 1 else ''} per row"


def _named(kind: str, a: Sequence[str], b: Sequence[str], words: str) -> Iterator[Change]:
    for name in a:
        if name not in b:
            yield _change(kind, name, name, None, f"{words} {name} (no longer)")
    for name in b:
        if name not in a:
            yield _change(kind, name, None, name, f"{words} {name} (new)")


def _step0(a: LossNeeds, b: LossNeeds) -> Iterator[Change]:
    for name in dict.fromkeys((*a.step0, *b.step0)):
        one, other = a.step0.get(name), b.step0.get(name)
        shown = [None if x is None else f"{x:.6g}" for x in (one, other)]
        if shown[0] != shown[1]:
            words = (
                f"{name} at step 0: {shown[0] or 'depends on the rows'} → {shown[1] or 'depends on the rows'}"
            )
            yield _change("step0", name, shown[0], shown[1], words)


def _settings(a: Loaded, b: Loaded) -> Iterator[Change]:
    one, other = a.job.model_dump(), b.job.model_dump()
    for section in SECTIONS:
        mine, theirs = (dict(_flat(x[section])) for x in (one, other))
        for path in dict.fromkeys((*mine, *theirs)):
            if mine.get(path) != theirs.get(path):
                yield _change("setting", f"{section}.{path}", mine.get(path), theirs.get(path))
