"""Lower: from the typed spec to the loss graph."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.graph import build as b
from alignc.graph.gradient import from_formula
from alignc.graph.loss import Loss, Metric, TermLoss
from alignc.graph.metrics import likelihood_metrics, preference_metrics
from alignc.graph.nodes import Length, Logp, Node, Parameter
from alignc.graph.types import GraphTypeError, Unit
from alignc.spec.document import Path
from alignc.spec.load import Loaded
from alignc.spec.objective import (
    ConstantMargin,
    HingeLink,
    LengthMargin,
    Likelihood,
    LogisticLink,
    Preference,
    Score,
    SquaredLink,
)
from alignc.spec.preset import preset_names

__all__ = ["lower"]

SUFFIX = {"chosen": "w", "rejected": "l", "completion": "y"}


def lower(spec: Loaded) -> Loss:
    """Build the loss of a spec. Raises DiagnosticError (E401) where units or axes do not go together."""
    terms, metrics, found = [], [], []
    many = len(spec.job.objective.terms) > 1
    names: dict[str, Node] = {}
    for index, term in enumerate(spec.job.objective.terms):
        scope = _Scope(spec, ("objective", "terms", index), many, names)
        try:
            lowered, logged = (
                _preference(term, scope) if isinstance(term, Preference) else _likelihood(term, scope)
            )
            terms.append(lowered)
            metrics.extend(logged)
        except GraphTypeError as error:
            found.append(_ill_typed(error, spec, scope.path))
    if found:
        raise DiagnosticError(found)
    root = b.add(*(b.multiply(t.weight, t.value) for t in terms))
    return Loss(root, tuple(terms), (Metric("loss", root), *_numbered(metrics)))


def _numbered(metrics: list[Metric]) -> list[Metric]:
    """Number the metrics of a second term where they differ from the first's."""
    known: dict[str, Node] = {}
    for metric in metrics:
        taken = sum(name.rpartition("#")[0] == metric.name for name in known)
        if metric.value not in known.values():
            known[f"{metric.name}#{taken + 1}"] = metric.value
    return [Metric(n.removesuffix("#1").replace("#", "_"), v) for n, v in known.items()]


def _ill_typed(error: GraphTypeError, spec: Loaded, path: Path) -> Diagnostic:
    for candidate in ((*path, "score", "reduce"), (*path, "score"), path):
        origin = spec.document.origins.get(candidate)
        if origin and origin.span:
            return Diagnostic(error.code, str(error), origin.span)
    return Diagnostic(error.code, str(error), spec.document.span(path))


@dataclass(frozen=True)
class _Scope:
    """The place in the spec that is being lowered."""

    spec: Loaded
    path: Path
    many: bool
    names: dict[str, Node]

    def name(self, short: str, symbol: str, meaning: str, argument: Node) -> Node:
        """Give a value a name of its own: the one asked for, or numbered where another value has it."""
        for number in range(1, 100):
            suffix = f"{number}" if number > 1 else ""
            mark = suffix and (suffix if "_" in symbol else f"_{suffix}")
            node = b.name(short + suffix, symbol + mark, meaning, argument)
            if self.names.setdefault(short + suffix, node) is node:
                return node
        raise GraphTypeError("more than 99 terms")

    def number(self, steps: Path, value: float, symbol: str, unit: Unit) -> Node:
        """Make the node of a number of the spec: a parameter with its symbol, or a constant if it is a default."""
        path = (*self.path, *steps)
        if binding := self.spec.document.bindings.get(path):
            return from_formula(binding, {n: self.parameter(n) for n in self.spec.parameters})
        origin = self.spec.document.origins.get(path)
        if origin is None:
            return b.constant(value)
        return self.leaf(".".join(map(str, steps)), symbol, float(value), unit, ".".join(map(str, path)))

    def leaf(self, short: str, symbol: str, value: float, unit: Unit, path: str) -> Node:
        """Make a parameter whose symbol is its own: numbered where another parameter has it."""
        for number in range(1, 100):
            marked = f"{symbol}_{number}" if number > 1 else symbol
            node = Parameter(short, marked, value, unit, path)
            if self.names.setdefault(f"parameter {marked}", node) is node:
                return node
        raise GraphTypeError("more than 99 parameters of one name")

    def parameter(self, name: str) -> Node:
        """Make the node of a preset's parameter; a choice is none."""
        bound = self.spec.parameters[name]
        if not isinstance(bound.value, (int, float)):
            return b.ZERO
        unit = Unit.parse(bound.unit(self.spec.parameters))
        symbol = bound.parameter.symbol or name
        own = self.spec.preset is not None and self.spec.preset.preset in preset_names()
        short = name if own else f"p{list(self.spec.parameters).index(name) + 1}"
        return self.leaf(short, symbol, float(bound.value), unit, f"objective.{name}")

    def weight(self, value: float, unit: Unit) -> Node:
        """Make the node of a term's weight, which takes the unit away where terms are added."""
        node = self.number(("weight",), value, "λ", unit**-1)
        if self.many and node.type.unit * unit != Unit():
            carrier = Parameter("unit", "", 1.0, (node.type.unit * unit) ** -1, "")
            return b.multiply(node, carrier)
        return node


def _preference(term: Preference, scope: _Scope) -> tuple[TermLoss, list[Metric]]:
    raw = {y: _score(term.score, y, scope) for y in ("chosen", "rejected")}
    unit = raw["chosen"].type.unit
    beta = scope.number(("score", "beta"), term.score.beta, "β", _beta_unit(term, unit))
    contrast = b.multiply(beta, b.subtract(raw["chosen"], raw["rejected"]))
    z = scope.name("z", "z", "margin", b.subtract(contrast, _margin(term, contrast.type.unit, scope)))
    rows = scope.name("row_loss", "ℓ", "loss by row", _link(term, z, scope))
    value = b.mean_over("batch", rows)
    weight = scope.weight(term.weight, rows.type.unit)
    lowered = TermLoss(term.name, term.kind, weight, value, rows, (*raw.values(), z), ("chosen", "rejected"))
    return lowered, preference_metrics(term, raw, beta, value if scope.many else None)


def _beta_unit(term: Preference, unit: Unit) -> Unit:
    """Infer the unit of a factor that no preset declares: the link takes a number without a unit."""
    return Unit() if isinstance(term.link, SquaredLink) else unit**-1


def _score(score: Score, response: str, scope: _Scope) -> Node:
    tokens: Node = Logp("policy", response)
    letter = "l"
    if score.of == "log_ratio":
        tokens = b.subtract(tokens, Logp(score.anchor, response))
        letter = "u"
    total = b.sum_over("token", tokens)
    if score.reduce == "mean":
        total = b.divide(total, Length(response))
        letter = {"l": "a", "u": "ū"}[letter]
    what = "log-ratio" if score.of == "log_ratio" else "log-probability"
    how = "mean over tokens" if score.reduce == "mean" else "sum over tokens"
    suffix = SUFFIX[response]
    return scope.name(f"{letter.replace('ū', 'v')}_{suffix}", f"{letter}_{suffix}", f"{what}, {how}", total)


def _margin(term: Preference, unit: Unit, scope: _Scope) -> Node:
    match term.margin:
        case ConstantMargin(value=value):
            return scope.number(("margin", "value"), value, "γ", unit)
        case LengthMargin(alpha=alpha):
            length = b.subtract(Length("rejected"), Length("chosen"))
            return b.multiply(scope.number(("margin", "alpha"), alpha, "α", unit / Unit.of("token")), length)
    return b.ZERO


def _link(term: Preference, z: Node, scope: _Scope) -> Node:
    match term.link:
        case LogisticLink(label_smoothing=smoothing):
            right = b.negate(b.apply("log_sigmoid", z))
            if smoothing == 0:
                return right
            epsilon = scope.number(("link", "label_smoothing"), smoothing, "ε", Unit())
            wrong = b.negate(b.apply("log_sigmoid", b.negate(z)))
            return b.add(b.multiply(b.subtract(b.ONE, epsilon), right), b.multiply(epsilon, wrong))
        case HingeLink(delta=delta):
            return b.apply("relu", b.subtract(scope.number(("link", "delta"), delta, "δ", z.type.unit), z))
    return b.power(z, 2)


def _likelihood(term: Likelihood, scope: _Scope) -> tuple[TermLoss, list[Metric]]:
    suffix = SUFFIX[term.on]
    logp = scope.name(
        f"l_{suffix}",
        f"l_{suffix}",
        "log-probability, sum over tokens",
        b.sum_over("token", Logp("policy", term.on)),
    )
    loss: Node = b.negate(logp)
    if term.reduce == "response_mean":
        loss = b.divide(loss, Length(term.on))
    rows = scope.name("row_loss", "ℓ", "loss by row", loss)
    value = b.mean_over("batch", rows)
    if term.reduce == "token_mean":
        value = b.divide(b.sum_over("batch", rows), b.sum_over("batch", Length(term.on)))
    lowered = TermLoss(
        term.name, term.kind, scope.weight(term.weight, value.type.unit), value, rows, (logp,), (term.on,)
    )
    return lowered, likelihood_metrics(term, logp, value if scope.many else None)
