"""Build the explanation of a spec; all of it is derived from the graph of the loss."""

from __future__ import annotations

from alignc.claims import claims_of
from alignc.claims.kinds.spec import Variant
from alignc.claims.model import About
from alignc.claims.words import title_of
from alignc.contract.kinds import ONLINE
from alignc.contract.needs import LossNeeds
from alignc.contract.responses import MISMATCHED
from alignc.explain.model import Explanation, Given, Where
from alignc.load.bound import Bound
from alignc.load.load import Loaded
from alignc.load.preset import defaults_of
from alignc.lower.loss import Loss
from alignc.lower.rollout_metrics import rollout_metrics
from alignc.plan.generation import generation_lines
from alignc.printers.dialect import TEXT
from alignc.printers.formula import text
from alignc.printers.terms import objective, term_losses
from alignc.spec.objective import Term
from alignc.yaml.scalars import scalar_text

__all__ = ["explanation"]


def explanation(spec: Loaded, loss: Loss, needs: LossNeeds) -> Explanation:
    """Explain a loss."""
    claims = claims_of(About(spec, loss, needs))
    named = next(c for c in claims if isinstance(c, Variant))
    return Explanation(
        name=spec.job.name,
        title=title_of(named),
        paper=named.paper,
        formula=f"L = {text(objective(loss), loss.written_out)}",
        losses=_losses(loss),
        where=_where(loss),
        values=_values(spec, loss),
        terms=tuple(_term(_written(t)) for t in spec.job.objective.terms),
        claims=claims,
        data=_data(spec.job.data.kind, needs),
        metrics=tuple(needs.metrics),
        generation=_generation(spec),
        logged=rollout_metrics(spec.job, loss),
    )


def _generation(spec: Loaded) -> tuple[str, ...]:
    policy = spec.job.model.policy
    return generation_lines(
        policy if isinstance(policy, str) else policy.model_dump(), spec.job.data.model_dump()
    )


def _losses(loss: Loss) -> tuple[str, ...]:
    """Write the loss of each term, where there are several."""
    out = loss.written_out
    return tuple(f"{TEXT.symbol(n.symbol)} = {text(n.argument, out)}" for n in term_losses(loss))


def _where(loss: Loss) -> tuple[Where, ...]:
    return tuple(
        Where(
            TEXT.symbol(n.symbol),
            text(n.argument),
            f"{n.meaning}{f', {n.type.unit}' if n.type.unit.powers else ''}",
        )
        for n in loss.named
    )


def _values(spec: Loaded, loss: Loss) -> tuple[Given, ...]:
    rows = []
    for p in loss.parameters:
        path = tuple(int(s) if s.isdecimal() else s for s in p.path.split("."))
        name = p.path.removeprefix("objective.")
        rows.append(
            Given(
                TEXT.symbol(p.symbol),
                name,
                p.value,
                str(p.unit) if p.unit.powers else "",
                _origin(spec, path),
            )
        )
    names = {g.field for g in rows}
    for name, bound in spec.parameters.items():
        if name not in names and (given := _in_force(spec, name, bound)) is not None:
            rows.append(Given(bound.parameter.symbol or name, name, *given))
    for source in {n.label: n for n in spec.nested.values()}.values():
        for name, bound in source.parameters.items():
            if (field := f"{source.label}.{name}") not in names and not defaults_of(source.preset, name):
                symbol = bound.parameter.symbol or name
                rows.append(Given(symbol, field, _whole(bound.value), "", bound.origin.label))
    return tuple(rows)


def _in_force(spec: Loaded, name: str, bound: Bound) -> tuple[float | str, str, str] | None:
    """Return value, unit and origin of a parameter, or of the field outside the objective whose default it is."""
    places = defaults_of(spec.preset, name) if spec.preset else []
    if not places:
        return _whole(bound.value), "", bound.origin.label
    value = spec.document.get(places[0]) if spec.job.data.kind in ONLINE else None
    origin = spec.document.origins.get(places[0])
    return None if value is None or origin is None else (_whole(value), "", origin.label)


def _whole(value: object) -> float | str:
    """Return the name of the choice for a part of a term; the numbers of this part have their own lines."""
    if isinstance(value, dict):
        return next((str(value[k]) for k in HEADS if k in value), "")
    return value if isinstance(value, float | int | str) else "none"


def _origin(spec: Loaded, path: tuple[str | int, ...]) -> str:
    bound = spec.parameter_at(path)
    return bound.origin.label if bound else (spec.whole or spec).origin(path)


def _written(term: Term) -> dict[str, object]:
    """Return a term without the fields at their defaults, but with its score, its link and its `kl:` block."""
    full, changed = term.model_dump(), term.model_dump(exclude_defaults=True)
    kept: dict[str, object] = {}
    for key, value in full.items():
        if isinstance(value, dict):
            differs = changed.get(key, {})
            always = (*HEADS, *(("placement", "beta") if key == "kl" else ("reduce",)))
            inner = {k: v for k, v in value.items() if k in differs or k in always}
            if differs or key in ("score", "link", "kl"):
                kept[key] = inner
        elif key in changed or key == "reduce":
            kept[key] = value
    return kept


def _term(term: dict[str, object]) -> str:
    weight = f"{term['weight']:g} × " if term.get("weight", 1) != 1 else ""
    axes = [f"{k}: {_axis(v)}" for k, v in term.items() if k not in ("name", "kind", "weight", "data")]
    return f"{weight}{term['name']}: {'; '.join((str(term['kind']), *axes))}"


def _axis(value: object) -> str:
    if not isinstance(value, dict):
        return scalar_text(value)
    head = next((str(value[k]) for k in HEADS if value.get(k)), "")
    rest = [f"{k} {_plain(v)}" for k, v in value.items() if k not in HEADS]
    return f"{head} ({', '.join(rest)})" if rest else head


HEADS = ("kind", "of", "estimator")
"""The keys that name a choice."""


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else scalar_text(value)


def _data(kind: str, needs: LossNeeds) -> str:
    """List the columns of a row; the mismatched completion belongs to another row and is left out."""
    if kind in ONLINE:
        return _sampled(kind, needs)
    given = [r for r in needs.responses if r != MISMATCHED]
    columns = [c.removesuffix("/completion").replace("/", " of ") for c in needs.columns]
    best = "; the best and the worst response of each group" if needs.convert == "best_worst" else ""
    return f"{kind}: {', '.join(('prompt', *given, *columns))}{best}"


def _sampled(kind: str, needs: LossNeeds) -> str:
    """Describe the columns of a row, and the responses that the policy samples."""
    if needs.convert == "demonstration":
        return f"{kind}: prompt, completion; chosen is the completion of the row, rejected a response of the policy"
    if needs.convert == "best_worst":
        return (
            f"{kind}: prompt, columns of the reward; chosen and rejected are the best and the worst response"
        )
    return f"{kind}: prompt, columns of the reward; the policy samples the completions"
