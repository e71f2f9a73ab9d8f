"""Bring two losses over the same rows: the same responses, the same names for the same models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, GROUP, PAIR, REJECTED, SINGLE
from alignc.graph import build as b
from alignc.graph.nodes import Column, GroupSize, Logp, Matched, Named, NamedRole, Node, Reduce, Running, Stop
from alignc.graph.rewrite import rebuilt, substitute
from alignc.graph.types import AxisKind, GraphTypeError
from alignc.graph.walk import children, walk
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.spec.anchors import other_models

__all__ = ["Sampling", "Side", "aligned", "by_row", "reference_point", "replaced_leaves", "side_of"]

Replace = Callable[[Node], Node | None]


Sampling = Literal["each_update", "first_update", "iteration", "given"]
"""When the rows are samples of the policy: at each update, at the first update of a rollout or of an iteration of
self-play, or never, because data give them."""


@dataclass(frozen=True)
class Side:
    """One loss of a comparison; `root` may read rows of another shape than its own spec's."""

    root: Node
    responses: tuple[str, ...]
    positive: frozenset[str] = frozenset()
    """Parameters that cannot be 0."""
    models: Mapping[str, str] = field(default_factory=dict)
    """What the spec itself calls the models that are named by what they are."""
    group: int | None = None
    """The number of responses that the spec samples for a prompt; None where data give them."""
    sampling: Sampling = "given"


def side_of(spec: Loaded, loss: Loss) -> Side:
    """Take a loss with its models named by what they are, and its reference points as numbers of their own."""
    reference = spec.job.model.reference
    given = [spec.parameters, *(n.parameters for n in spec.nested.values())]
    positive = frozenset(n for known in given for n, p in known.items() if p.parameter.gt is not None)
    paths = {name: path for path, name in other_models((spec.whole or spec).job).items()}
    if reference is not None and reference.kind == "path":
        paths["initial"] = str(reference.path)
    models: dict[Node, Node] = {
        n: Logp(f"r[{paths[n.model]}]", n.response)
        for n in walk(loss.root)
        if isinstance(n, Logp) and n.model in paths
    }
    root = substitute(loss.root, models) if models else loss.root
    own = {f"r[{path}]": name for name, path in paths.items()}
    group = getattr(spec.job.data, "completions_per_prompt", None)
    return Side(_pointed(root), loss.view.responses, positive, own, group, _sampling(spec))


def _sampling(spec: Loaded) -> Sampling:
    """Tell when the rows of a spec are samples of the policy that is trained."""
    train, kind = spec.job.train, spec.job.data.kind
    if kind == "self_play":
        return "iteration"
    if kind != "prompts":
        return "given"
    once = train.rollout_epochs == 1 and train.rollout_minibatches == 1
    return "each_update" if once else "first_update"


def _pointed(root: Node) -> Node:
    points: dict[Node, Node] = {
        n: reference_point(n)
        for n in walk(root)
        if isinstance(n, Named) and n.role is NamedRole.REFERENCE_POINT
    }
    return substitute(root, points) if points else root


def reference_point(node: Named) -> Node:
    """Stand a number in for a reference point of the batch; the same point, the same number."""
    kind = "delta" if any(isinstance(n, Running) for n in walk(node)) else "z0"
    return Column(kind, None, node.type.unit)


def replaced_leaves(root: Node, new: Replace) -> Node:
    """Replace inputs, and fold what becomes constant."""
    found = {n: made for n in walk(root) if (made := new(n)) is not None}
    return substitute(root, found)


def aligned(a: Side, b_side: Side) -> tuple[Side, Side, tuple[str, ...]] | None:
    """Bring two sides over one shape of row, with the conditions of it; None where there is none."""
    if a.responses == b_side.responses:
        return a, b_side, ()
    shapes = {a.responses, b_side.responses}
    if shapes == {GROUP, (CHOSEN, REJECTED)}:
        return _group_as_pair(a), _group_as_pair(b_side), ("groups of two responses, the first as chosen",)
    if shapes == {SINGLE, (CHOSEN, REJECTED)}:
        words = "a pair as two rows, the chosen response marked 1 and the rejected one 0"
        return _point_as_pair(a), _point_as_pair(b_side), (words,)
    if shapes == {SINGLE, GROUP}:
        words = "the responses of a group as rows, all groups of one size"
        return _point_as_group(a), _point_as_group(b_side), (words,)
    return None


def _renamed(node: Node, old: str, new: str) -> Node | None:
    """Read another response in the place of one."""
    if getattr(node, "response", None) != old:
        return None
    fields = {name: getattr(node, name) for name in node.__dataclass_fields__}
    made: Node = type(node)(**{**fields, "response": new})
    return made


def _group_as_pair(side: Side) -> Side:
    if side.responses != GROUP:
        return side
    return replace(side, root=_opened(side.root, CHOSEN), responses=PAIR)


def _opened(node: Node, member: str) -> Node:
    """Write reductions over a group out for its two members."""
    if isinstance(node, Reduce) and node.over == "group":
        first, second = (_opened(node.argument, y) for y in (CHOSEN, REJECTED))
        if node.kind == "pairs":
            return b.power(b.subtract(first, second), 2)
        total = b.add(first, second)
        return total if node.kind == "sum" else b.multiply(b.constant(0.5), total)
    if isinstance(node, GroupSize):
        return b.constant(2)
    if (new := _renamed(node, COMPLETIONS, member)) is not None:
        return new
    return rebuilt(node, {c: _opened(c, member) for c in children(node)})


def _point_as_pair(side: Side) -> Side:
    if side.responses != SINGLE:
        return side
    halves = []
    for response, label in ((CHOSEN, 1.0), (REJECTED, 0.0)):

        def marked(node: Node, response: str = response, label: float = label) -> Node | None:
            if isinstance(node, Column) and node.response is None and node.name == "label":
                return b.constant(label)
            return _renamed(node, COMPLETION, response)

        halves.append(replaced_leaves(side.root, marked))
    return replace(side, root=b.multiply(b.constant(0.5), b.add(*halves)), responses=PAIR)


def _point_as_group(side: Side) -> Side:
    if side.responses != SINGLE:
        return side

    def grouped(node: Node) -> Node | None:
        if isinstance(node, Reduce) and node.over == "batch" and node.kind == "mean":
            inner = replaced_leaves(node.argument, lambda n: _renamed(n, COMPLETION, COMPLETIONS))
            if inner.type.axis.kind != AxisKind.GROUP:
                raise GraphTypeError("a row without a response")
            return b.mean_over("batch", b.divide(b.sum_over("group", inner), GroupSize()))
        return None

    return replace(side, root=replaced_leaves(side.root, grouped), responses=GROUP)


def by_row(node: Node, rows: int) -> Node:
    """Write a row's own share of a loss over a batch of `rows`: what its gradient is taken of."""
    if isinstance(node, Reduce) and node.over == "batch" and node.type.trained:
        return b.multiply(b.constant(1 / rows), node.argument) if node.kind == "mean" else node.argument
    if isinstance(node, Stop | Matched | Running) or not node.type.trained:
        return node
    done: Mapping[Node, Node] = {c: by_row(c, rows) for c in children(node)}
    return rebuilt(node, done)
