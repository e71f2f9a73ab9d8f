"""Lower: from the typed spec to the loss graph."""

from __future__ import annotations

from dataclasses import replace

from alignc.contract.kinds import ONLINE
from alignc.contract.responses import COMPLETION, GROUP, PAIR
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.graph import build as b
from alignc.graph.nodes import Multiply, Node, Reduce, UnitFactor
from alignc.graph.rewrite import without_names
from alignc.graph.types import GraphTypeError
from alignc.lower.lookup import Lookup
from alignc.lower.loss import Loss, Metric
from alignc.lower.scope import Names, Scope
from alignc.lower.terms import lower_term
from alignc.spec.objective import Entropy, KLTerm, Pointwise, PolicyGradient, Preference, Value
from alignc.spec.scores import SCALAR_HEAD
from alignc.spec.targets import NoTarget
from alignc.spec.views import view
from alignc.yaml.source import NodePath

__all__ = ["lower"]


def lower(lookup: Lookup, names: Names | None = None) -> Loss:
    """Build the loss of a spec. Raises DiagnosticError (such as E401) if units or axes do not fit.

    `names`: those in use by the parts before, where the spec is one source's part of another.
    """
    terms, metrics = [], []
    found: list[Diagnostic] = []
    chosen, names = lookup.job.objective.terms, names or Names()
    many = len(lookup.whole.objective.terms) > 1
    seen = view(lookup.job.data.kind, chosen)
    for index, term in enumerate(chosen):
        scope = Scope(lookup, ("objective", "terms", index), many, names)
        if misfit := _misfit(term, seen.responses, lookup, scope.path):
            if not any((d.code, d.span) == (misfit.code, misfit.span) for d in found):
                found.append(misfit)
            continue
        try:
            lowered, logged = lower_term(term, scope, seen)
        except GraphTypeError as error:
            found.append(_ill_typed(error, lookup, scope.path))
            continue
        terms.append(lowered)
        metrics.extend(logged)
    if found:
        raise DiagnosticError(found)
    root = b.add(*(b.multiply(t.weight, t.value) for t in terms))
    return Loss(root, tuple(terms), (Metric("loss", root), *_with_gap(_numbered(metrics))), seen)


def _misfit(term: object, responses: tuple[str, ...], lookup: Lookup, path: NodePath) -> Diagnostic | None:
    """E101, E102, E106: the rows do not have the responses that a term needs."""
    kind, at = lookup.job.data.kind, lookup.span(("data", "kind"))
    if isinstance(term, Preference):
        if term.score.of == SCALAR_HEAD and kind in ONLINE:
            message = f"`{term.name}` trains a reward model, which samples no responses"
            return Diagnostic("E101", message, at)
        if responses in (PAIR, GROUP):
            return None
        message = f"`{term.name}` compares a chosen with a rejected response, but `data.kind` is `{kind}`"
        return Diagnostic("E101", message, at)
    if isinstance(term, KLTerm):
        return None
    if isinstance(term, PolicyGradient | Value | Entropy):
        message = f"`{term.name}` needs the rewards of several responses, but rows of kind `{kind}` have none"
        return None if responses == GROUP else Diagnostic("E103", message, at)
    if isinstance(term, Pointwise):
        told = term.direction != "label" or not isinstance(term.target, NoTarget)
        labelled = kind in ("pointwise", "pairwise") or told
        message = f"`{term.name}` needs a label, but rows of kind `{kind}` have no label"
        return None if labelled else Diagnostic("E102", message, at)
    on = getattr(term, "on", COMPLETION)
    if on in responses:
        return None
    place = (*path, "on")
    span = lookup.origins.get(place)
    message = f"`{getattr(term, 'name', '')}` imitates `{on}`, but rows of kind `{kind}` have {', '.join(responses)}"
    return Diagnostic("E106", message, span or at)


def _numbered(metrics: list[Metric]) -> list[Metric]:
    """Number the metrics of a second term if they differ from those of the first term."""
    known: dict[str, Node] = {}
    seen: set[tuple[str, object]] = set()
    for metric in metrics:
        taken = sum(name.rpartition("#")[0] == metric.name for name in known)
        if (metric.name, plain := _plain(metric.value)) not in seen:
            seen.add((metric.name, plain))
            known[f"{metric.name}#{taken + 1}"] = metric.value
    return [Metric(n.removesuffix("#1").replace("#", "_"), v) for n, v in known.items()]


def _plain(value: Node) -> object:
    """Remove names and factors that carry a unit; two metrics are the same if the results are equal."""
    match bare := without_names(value):
        case Reduce(kind=kind, over=over, argument=inner):
            factors = inner.factors if isinstance(inner, Multiply) else (inner,)
            counted = frozenset(f for f in factors if not isinstance(f, UnitFactor))
            return kind, over, counted
    return bare


def _with_gap(metrics: list[Metric]) -> list[Metric]:
    """Add margins and accuracies if separate terms reward chosen and rejected responses."""
    known = {m.name: m.value for m in metrics}
    match known.get("rewards/chosen"), known.get("rewards/rejected"):
        case Reduce(kind="mean", argument=up), Reduce(kind="mean", argument=down) if (
            "rewards/margins" not in known
        ):
            gap = b.subtract(up, down)
            found = {"rewards/margins": gap, "rewards/accuracies": b.apply("step", gap)}
            return [*metrics, *(Metric(n, b.mean_over("batch", v)) for n, v in found.items())]
    return metrics


PLACES: dict[str, tuple[tuple[str, ...], ...]] = {
    "E003": (
        ("kl", "adaptive"),
        ("kl", "estimator"),
        ("link", "formula"),
        ("link",),
        ("score", "transform"),
        ("estimator",),
        ("gradient",),
    ),
    "E004": (
        ("kl", "estimator"),
        ("estimator",),
        ("gradient",),
        ("score", "transform"),
        ("link", "formula"),
        ("link",),
    ),
    "E102": (("direction",), ("target",)),
    "E106": (("on",),),
    "E402": (("score", "reduce"), ("score", "of")),
    "E403": (("score", "anchor"), ("score", "of")),
    "E404": (("link", "label_smoothing"), ("link",)),
}


def _narrowed(span: Span, column: int | None, lookup: Lookup) -> Span:
    """Return the span inside a formula, if the formula is on one line and has no escapes."""
    lines = lookup.texts.get(span.file, "").splitlines()
    if column is None or span.line != span.end_line or span.line > len(lines):
        return span
    shown = lines[span.line - 1][span.column - 1 : span.end_column - 1]
    quoted = shown[:1] in ("'", '"')
    if quoted and ("\\" in shown or "''" in shown):
        return span
    return replace(span, column=span.column + quoted + column - 1, end_column=span.end_column - quoted)


def _ill_typed(error: GraphTypeError, lookup: Lookup, path: NodePath) -> Diagnostic:
    """Return the span of the part of a term that most likely holds the error."""
    steps = (*PLACES.get(error.code, ()), ("score", "reduce"), ("score", "beta"), ("score",), ())
    for step in steps:
        if span := lookup.origins.get((*path, *step)):
            return Diagnostic(error.code, str(error), _narrowed(span, error.column, lookup))
    return Diagnostic(error.code, str(error), lookup.span(("objective",)))
