"""The result of lowering: the loss, its terms, and the metrics, which are nodes of the same graph."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.contract.models import INITIAL, POLICY, is_other
from alignc.contract.needs import Advantage
from alignc.graph.build import add, multiply
from alignc.graph.nodes import (
    Add,
    Constant,
    Logp,
    Multiply,
    Named,
    NamedRole,
    Node,
    Parameter,
    Reduce,
    Stop,
    is_divergence,
)
from alignc.graph.rewrite import inputs, rebuilt, substitute, without_names
from alignc.graph.walk import walk
from alignc.spec.views import View

__all__ = ["Loss", "Metric", "TermLoss", "alone", "at_reference"]


@dataclass(frozen=True)
class Metric:
    """A logged number: the mean of `rows` over the global batch, or another `value`."""

    name: str
    value: Node


@dataclass(frozen=True)
class TermLoss:
    """One term: its value over the batch, its loss by row, and its named values.

    `advantage` describes an advantage that a rollout computes and that is not a node. The rollout then subtracts
    `penalty` from the reward.
    """

    name: str
    kind: str
    weight: Node
    value: Node
    rows: Node
    named: tuple[Node, ...]
    responses: tuple[str, ...]
    advantage: Advantage | None = None
    penalty: Node | None = None


@dataclass(frozen=True)
class Loss:
    """The compiled objective. `root` is one number for the global batch."""

    root: Node
    terms: tuple[TermLoss, ...]
    metrics: tuple[Metric, ...]
    view: View

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose log-probabilities the loss reads, the policy first."""
        read = tuple(walk(*self.outputs, *self.penalties))
        found = {n.model for n in read if isinstance(n, Logp)}
        found |= {INITIAL for n in read if is_divergence(n)}
        return tuple(sorted(found, key=lambda m: (m != POLICY, m)))

    @property
    def named(self) -> tuple[Named, ...]:
        """The named values, each after the values that it depends on."""
        rows = [n for t in self.terms for n in walk(t.rows)]
        return tuple(
            dict.fromkeys(n for n in rows if isinstance(n, Named) and n.role is not NamedRole.ROW_LOSS)
        )

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The roots of everything that a job computes."""
        return (self.root, *(m.value for m in self.metrics))

    @property
    def advantage(self) -> Advantage | None:
        """The rollout's computation of the advantage, or None if the advantage is a node."""
        return next((t.advantage for t in self.terms if t.advantage is not None), None)

    @property
    def penalties(self) -> tuple[Node, ...]:
        """The penalty, or an empty tuple."""
        return () if self.penalty is None else (self.penalty,)

    @property
    def penalty(self) -> Node | None:
        """The penalty that the rollout subtracts from the reward, or None."""
        return next((t.penalty for t in self.terms if t.advantage is not None), None)

    @property
    def written_out(self) -> frozenset[str]:
        """The names that the formula writes out: distances and losses by row."""
        return frozenset(_step(n) for t in self.terms for n in (t.rows, *t.named)) - {""}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The hyper-parameters in the loss, in order of appearance."""
        return tuple(n for n in walk(self.root, *self.penalties) if isinstance(n, Parameter))

    @property
    def coupled(self) -> bool:
        """Whether a row's loss depends on other rows of the batch."""
        return any(isinstance(n, Reduce) and n.over == "batch" for t in self.terms for n in walk(t.rows))


def _step(node: Node) -> str:
    return node.name if isinstance(node, Named) and node.role in STEPS else ""


STEPS = (NamedRole.DISTANCE, NamedRole.ROW_LOSS)


def at_reference(node: Node) -> Node:
    """Replace the policy by the reference, as before the first step, and fold constants; the result has no gradients.

    An anchor that is another model stays: nothing is known of it.
    """
    known = [n for n in inputs(node) if isinstance(n, Logp) and not is_other(n.model)]
    models: dict[Node, Node] = {n: Logp(POLICY, n.response) for n in known}
    models |= {n: multiply(Constant(0.0), n) for n in inputs(node) if is_divergence(n)}
    placed, done = substitute(without_names(node), models), dict[Node, Node]()
    for inner in walk(placed):
        done[inner] = done[inner.argument] if isinstance(inner, Stop) else _spread_out(rebuilt(inner, done))
    return done[placed]


def _spread_out(node: Node) -> Node:
    """Multiply a number into a sum, so that like terms meet."""
    match node:
        case Multiply(factors=(Constant() as number, *rest, Add(terms=terms))):
            return add(*(multiply(number, *rest, t) for t in terms))
    return node


def alone(root: Node) -> Node:
    """Return the loss of one row as a batch of one, in which a sum or a mean is the value of the row."""
    done: dict[Node, Node] = {}
    for node in walk(root):
        over_batch = isinstance(node, Reduce) and node.over == "batch"
        done[node] = done[node.argument] if over_batch else rebuilt(node, done)  # type: ignore[attr-defined]
    return done[root]
