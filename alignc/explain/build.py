"""Build the explanation of a spec; all of it is derived from the graph of the loss."""

from __future__ import annotations

from alignc.contract.kinds import ONLINE
from alignc.contract.models import POLICY
from alignc.contract.needs import LossNeeds
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.contract.responses import MISMATCHED, RESPONSES
from alignc.explain.model import Coefficient, Explanation, Given, Where
from alignc.explain.optimum import kl_lines, optimum_lines
from alignc.explain.rollout import rollout_lines
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Length, Logp, Named, NamedRole, Node, Output, Reduce
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.sign import sign
from alignc.graph.types import Unit
from alignc.graph.walk import walk
from alignc.load.bound import Bound
from alignc.load.load import Loaded
from alignc.load.preset import Paper, defaults_of
from alignc.lower.loss import Loss, alone, at_reference
from alignc.lower.rollout_metrics import rollout_metrics
from alignc.plan import Role, roles
from alignc.plan.generation import generation_lines
from alignc.printers.dialect import TEXT
from alignc.printers.formula import text
from alignc.printers.terms import objective, term_losses
from alignc.spec.objective import Term
from alignc.yaml.scalars import scalar_text

__all__ = ["explanation"]


def explanation(spec: Loaded, loss: Loss, needs: LossNeeds) -> Explanation:
    """Explain a loss."""
    preset = spec.preset
    coefficients = (*(_coefficient(loss, y) for y in loss.view.responses), *_others(loss))
    return Explanation(
        name=spec.job.name,
        title=preset.title if preset else _title(spec),
        paper=citation(preset.paper) if preset and preset.paper else None,
        formula=f"L = {text(objective(loss), loss.written_out)}",
        losses=_losses(loss),
        where=_where(loss),
        values=_values(spec, loss),
        terms=tuple(_term(_written(t)) for t in spec.job.objective.terms),
        gradient=coefficients,
        gauge=_gauge(loss),
        roles=tuple((r.role, _role(r)) for r in roles(needs, loss, spec.job)),
        data=_data(spec.job.data.kind, needs),
        scaling=_scaling(loss, needs),
        step0=tuple(needs.step0.items()),
        healthy=tuple(preset.healthy.items()) if preset else (),
        metrics=tuple(needs.metrics),
        deviations=_deviations(spec),
        when=preset.when if preset else "",
        kl=kl_lines(spec),
        optimum=optimum_lines(spec),
        rollout=rollout_lines(spec, loss, needs),
        generation=_generation(spec),
        logged=rollout_metrics(spec.job, loss),
    )


def _generation(spec: Loaded) -> tuple[str, ...]:
    policy = spec.job.model.policy
    return generation_lines(
        policy if isinstance(policy, str) else policy.model_dump(), spec.job.data.model_dump()
    )


def _title(spec: Loaded) -> str:
    """Return the titles of the presets of the terms, if each term comes from a preset."""
    titles = dict.fromkeys(n.preset.title for n in spec.nested.values())
    whole = len(spec.nested) == len(spec.job.objective.terms)
    return " + ".join(titles) if whole else "an objective without a preset"


def _deviations(spec: Loaded) -> tuple[str, ...]:
    """List the deviations of the preset, then those of the presets of single terms under their labels."""
    own = spec.preset.deviations if spec.preset else []
    others = {n.label: n.preset.deviations for n in spec.nested.values()}
    return (*own, *(f"{label}: {line}" for label, lines in others.items() for line in lines))


def citation(paper: Paper) -> str:
    """Cite a paper in one line."""
    where = f", {paper.where}" if paper.where else ""
    number = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    return f"{paper.authors} {paper.year}{where}{number}"


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


def _coefficient(loss: Loss, response: str) -> Coefficient:
    trained = trained_output(loss, response)
    own = gradient(alone(loss.root), trained)
    start = at_reference(own)
    value = float(evaluate(start, {})) if not inputs(start) else None
    of = f"∂L/∂{'log π' if isinstance(trained, Logp) else 'r'}({response})"
    return Coefficient(response, of, text(own), value, _pushes(own, start, response))


def _others(loss: Loss) -> tuple[Coefficient, ...]:
    """Derive the coefficients of the other trained outputs, such as values of states and entropies."""
    root = alone(loss.root)
    return tuple(_other(n, gradient(root, n)) for n in other_outputs(loss))


def _other(node: Output, slope: Node) -> Coefficient:
    row = OUTPUTS[node.quantity]
    return Coefficient(node.response, f"∂L/∂{row.letter}", text(slope), None, row.moves)


def other_outputs(loss: Loss) -> list[Output]:
    """List the trained outputs other than log-probabilities and scores."""
    return [n for n in inputs(alone(loss.root)) if isinstance(n, Output) and OUTPUTS[n.quantity].moves]


def trained_output(loss: Loss, response: str) -> Node:
    """Return the trained output of a response: its log-probability, or the score of a reward model."""
    score = Output(Quantity.SCORE, POLICY, response)
    return score if score in inputs(loss.root) else Logp(POLICY, response)


def _pushes(own: Node, start: Node, response: str) -> str:
    """Return in words how a step moves a response, from the sign of the coefficient or of its start value."""
    name = f"{response} {RESPONSES[response].text}"
    label = Column("label", None, Unit())
    if label in inputs(own):
        wanted, unwanted = (WAYS[sign(substitute(own, {label: b.constant(c)}))] for c in (1, 0))
        return f"{wanted} the {name} if its label is true, and {unwanted} it if the label is false"
    if any(isinstance(n, Named) and n.role is NamedRole.ADVANTAGE for n in walk(own)):
        return "raises a response with a positive advantage, and lowers a response with a negative advantage"
    if always := sign(own):
        return f"{WAYS[always]} the {name}"
    if (first := sign(start)) is not None:
        return f"{WAYS[first]} the {name} at first" if first else f"does not change the {name} at first"
    return f"raises or lowers the {name}, depending on the row"


WAYS = {-1: "raises", 1: "lowers", 0: "does not change", None: "raises or lowers"}


def _gauge(loss: Loss) -> str:
    if not loss.view.pair:
        return ""
    root = alone(loss.root)
    if any(isinstance(n, Output) and n.quantity == Quantity.SCORE for n in inputs(root)):
        return ""
    coefficients = [gradient(root, Logp(POLICY, y)) for y in loss.view.responses]
    if any(c.type.axis.by_token for c in coefficients):
        return "the coefficients differ between tokens"
    total: Node = b.add(*coefficients)
    if total == b.ZERO:
        return "the coefficients cancel: only the difference is trained, and both log-probabilities may fall together"
    if (
        b.add(*(b.multiply(c, Length(y)) for c, y in zip(coefficients, loss.view.responses, strict=True)))
        == b.ZERO
    ):
        return "the coefficients cancel token by token: only the difference of the means is trained, and both may fall"
    return "the coefficients do not cancel: the loss also acts on the absolute log-probabilities"


def _role(role: Role) -> str:
    work = "forward and backward" if role.trained else "forward"
    times = f"{role.forwards} {work} per {'response' if role.grouped else 'row'}"
    if role.trained and role.silent:
        times += f", and {role.silent} forward without backward"
    return f"{role.weights}; {times}{'; computed once, then cached' if role.cached else ''}"


def _data(kind: str, needs: LossNeeds) -> str:
    """List the columns of a row; the mismatched completion belongs to another row and is left out."""
    if kind in ONLINE:
        return _sampled(kind, needs)
    given = [r for r in needs.responses if r != MISMATCHED]
    columns = [c.removesuffix("/completion").replace("/", " of ") for c in needs.columns]
    best = "; the best and the worst response of each group" if needs.convert == "best_worst" else ""
    return f"{kind}: {', '.join(('prompt', *given, *columns))}{best}"


def _by_tokens(node: Node) -> bool:
    """Return whether a node counts the tokens of the global batch."""
    return (
        isinstance(node, Reduce) and node.over == "batch" and all(isinstance(n, Length) for n in inputs(node))
    )


def _scaling(loss: Loss, needs: LossNeeds) -> str:
    if needs.statistics:
        return "the loss of a row reads other rows of the global batch: each step has one more forward without gradient"
    over = "all completion tokens" if any(_by_tokens(n) for n in walk(loss.root)) else "the rows"
    return f"mean over {over} of the global batch; each split over processes and micro-batches gives the same result"


def _sampled(kind: str, needs: LossNeeds) -> str:
    """Describe the columns of a row, and the responses that the policy samples."""
    if needs.convert == "demonstration":
        return f"{kind}: prompt, completion; chosen is the completion of the row, rejected a response of the policy"
    if needs.convert == "best_worst":
        return (
            f"{kind}: prompt, columns of the reward; chosen and rejected are the best and the worst response"
        )
    return f"{kind}: prompt, columns of the reward; the policy samples the completions"
