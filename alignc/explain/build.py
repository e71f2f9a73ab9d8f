"""Build the explanation of a spec from its graph: derived, not written down."""

from __future__ import annotations

from alignc.explain.model import Coefficient, Explanation, Given, Where
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.loss import Loss, alone, at_reference
from alignc.graph.nodes import Logp, Named, Node
from alignc.graph.rewrite import inputs
from alignc.plan import Needs, Role
from alignc.printers.dialect import TEXT
from alignc.printers.formula import text
from alignc.spec.load import Loaded
from alignc.spec.preset import Paper

__all__ = ["explanation"]

RESPONSES = {
    "chosen": "chosen y_w",
    "rejected": "rejected y_l",
    "completion": "completion y",
    "completions": "completions y_i",
}


def explanation(spec: Loaded, loss: Loss, needs: Needs) -> Explanation:
    """Explain a loss."""
    preset = spec.preset
    coefficients = tuple(_coefficient(loss, y) for y in loss.view.responses)
    return Explanation(
        name=spec.job.name,
        title=preset.title if preset else "an objective of its own",
        paper=citation(preset.paper) if preset and preset.paper else None,
        formula=f"L = {text(loss.root, loss.written_out)}",
        where=_where(loss),
        values=_values(spec, loss),
        terms=tuple(_term(t) for t in spec.job.model_dump()["objective"]["terms"]),
        gradient=coefficients,
        gauge=_gauge(loss),
        roles=tuple((r.role, _role(r)) for r in needs.roles),
        data=f"{spec.job.data.kind}: {', '.join(('prompt', *needs.responses, *needs.columns))}",
        scaling=_scaling(needs),
        step0=tuple(needs.step0.items()),
        healthy=tuple(preset.healthy.items()) if preset else (),
        metrics=needs.metrics,
        deviations=tuple(preset.deviations) if preset else (),
        when=preset.when if preset else "",
    )


def citation(paper: Paper) -> str:
    """Cite a paper in one line."""
    where = f", {paper.where}" if paper.where else ""
    number = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    return f"{paper.authors} {paper.year}{where}{number}"


def _where(loss: Loss) -> tuple[Where, ...]:
    shown = [n for t in loss.terms for n in t.named if isinstance(n, Named)]
    return tuple(
        Where(
            TEXT.symbol(n.symbol),
            text(n.argument),
            f"{n.meaning}{f', {n.type.unit}' if n.type.unit.powers else ''}",
        )
        for n in dict.fromkeys(shown)
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
        if name not in names:
            symbol = bound.parameter.symbol or name
            rows.append(Given(symbol, name, bound.value, "", bound.origin.label))
    return tuple(rows)


def _origin(spec: Loaded, path: tuple[str | int, ...]) -> str:
    bound = spec.parameters.get(str(path[-1])) if len(path) == 2 else None
    return bound.origin.label if bound else spec.origin(path)


def _term(term: dict[str, object]) -> str:
    weight = f"{term['weight']:g} × " if term["weight"] != 1 else ""
    axes = [f"{k}: {_axis(v)}" for k, v in term.items() if k not in ("name", "kind", "weight")]
    return f"{weight}{term['name']}: {term['kind']}; {'; '.join(axes)}"


def _axis(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    head = str(value.get("kind") or value.get("of"))
    rest = [f"{k} {_plain(v)}" for k, v in value.items() if k not in ("kind", "of")]
    return f"{head} ({', '.join(rest)})" if rest else head


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _coefficient(loss: Loss, response: str) -> Coefficient:
    own = gradient(alone(loss.root), Logp("policy", response))
    start = at_reference(own)
    value = float(evaluate(start, {})) if not inputs(start) else None
    return Coefficient(response, text(own), value, _pushes(value, response))


def _pushes(value: float | None, response: str) -> str:
    name = RESPONSES[response]
    if value is None:
        return f"on the {name}; at the start it depends on the row"
    if value == 0:
        return f"leaves the {name} alone at the start"
    return f"{'raises' if value < 0 else 'lowers'} the {name}"


def _gauge(loss: Loss) -> str:
    if not loss.view.pair:
        return ""
    coefficients = [gradient(alone(loss.root), Logp("policy", y)) for y in loss.view.responses]
    if any(c.type.axis.startswith("token:") for c in coefficients):
        return "the coefficients differ from token to token"
    total: Node = b.add(*coefficients)
    if total == b.ZERO:
        return "the coefficients cancel: only the difference is trained, and both log-probabilities may fall together"
    return "the coefficients do not cancel: the absolute log-probabilities are held as well"


def _role(role: Role) -> str:
    work = "forward and backward" if role.trained else "forward"
    times = f"{role.forwards} {work} a row"
    return f"{role.weights}; {times}{', once: cached by content' if role.cached else ''}"


def _scaling(needs: Needs) -> str:
    if needs.coupled:
        return "rows of the global batch are coupled: one more forward without gradient a step"
    over = "all completion tokens" if any(t.startswith("tokens/") for t in needs.totals) else "the rows"
    return f"mean over {over} of the global batch, the same for every split over processes and micro-batches"
