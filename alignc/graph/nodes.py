"""The nodes of a loss graph: frozen, interned, typed when they are built.

Two nodes that say the same are the same object. Build them with the functions of `alignc.graph.build`,
which fold constants; the classes check types and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, assert_never
from weakref import WeakValueDictionary

from alignc.contract.models import POLICY
from alignc.contract.outputs import OUTPUTS, Per, Quantity
from alignc.graph.functions import FUNCTIONS
from alignc.graph.types import (
    BATCH,
    CONSTANT,
    GROUP,
    NONE,
    SEQUENCE,
    Axis,
    GraphTypeError,
    Type,
    Unit,
    join_axes,
    response_axis,
    token_axis,
)

__all__ = [
    "Add",
    "Apply",
    "Column",
    "Constant",
    "GroupSize",
    "Length",
    "Logp",
    "Matched",
    "Multiply",
    "Named",
    "NamedRole",
    "Node",
    "Output",
    "Over",
    "Parameter",
    "Position",
    "Power",
    "Reduce",
    "Reduction",
    "Running",
    "Stop",
    "UnitFactor",
    "is_divergence",
]

NAT, TOKEN, REWARD = Unit.of("nat"), Unit.of("token"), Unit.of("reward")


Reduction = Literal["sum", "mean", "pairs"]
"""The kinds of reductions; `pairs` adds the squared differences of all pairs."""
Over = Literal["token", "group", "batch"]


class _Interned(type):
    """Interns nodes: nodes of one class with the same content are one object."""

    known: WeakValueDictionary[Any, Any] = WeakValueDictionary()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        node = super().__call__(*args, **kwargs)
        return _Interned.known.setdefault(node.content(), node)


@dataclass(frozen=True, eq=False)
class Node(metaclass=_Interned):
    """A value of the loss."""

    @property
    def type(self) -> Type:
        """The type, computed when the node is built."""
        found: Type = self.__dict__["_type"]
        return found

    def __post_init__(self) -> None:
        self.__dict__["_type"] = self._infer()

    def _infer(self) -> Type:
        """Compute the type from the types of the arguments. Raises GraphTypeError."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def content(self) -> tuple[Any, ...]:
        """List the content of the node; two nodes with the same content are one object."""
        return (type(self), *(getattr(self, f.name) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """A number without a unit."""

    value: float

    def _infer(self) -> Type:
        return Type(CONSTANT, NONE, False)


@dataclass(frozen=True, eq=False)
class Parameter(Node):
    """A hyper-parameter: a number with a symbol, a unit, and the place of the spec that sets it."""

    name: str
    symbol: str
    value: float
    unit: Unit
    path: str

    def _infer(self) -> Type:
        return Type(CONSTANT, self.unit, False)


@dataclass(frozen=True, eq=False)
class UnitFactor(Node):
    """The number 1 in a unit: as a factor it changes the unit of a value, and nothing else of it."""

    unit: Unit

    def _infer(self) -> Type:
        return Type(CONSTANT, self.unit, False)


@dataclass(frozen=True, eq=False)
class Column(Node):
    """A number that a data row or a rollout gives: of one response, of the row, or of every token."""

    name: str
    response: str | None
    unit: Unit
    token: bool = False

    def _infer(self) -> Type:
        if self.token and self.response:
            return Type(token_axis(self.response), self.unit, False)
        axis = response_axis(self.response) if self.response else SEQUENCE
        return Type(axis, self.unit, False)


@dataclass(frozen=True, eq=False)
class Length(Node):
    """The number of tokens of a response."""

    response: str

    def _infer(self) -> Type:
        return Type(response_axis(self.response), TOKEN, False)


@dataclass(frozen=True, eq=False)
class GroupSize(Node):
    """The number of responses in a row's group."""

    def _infer(self) -> Type:
        return Type(SEQUENCE, NONE, False)


@dataclass(frozen=True, eq=False)
class Position(Node):
    """The place of each token in its response, counted from 1."""

    response: str

    def _infer(self) -> Type:
        return Type(token_axis(self.response), TOKEN, False)


@dataclass(frozen=True, eq=False)
class Output(Node):
    """Another output of a model, of the table `OUTPUTS`: one number for the prompt, for a response or for each token.

    A `value` is the prompt's, whatever the response; a `token_value` that of the state before a token. A `divergence`
    is KL(π‖ref) of what comes next, over the whole vocabulary.
    """

    quantity: Quantity
    model: str
    response: str

    def _infer(self) -> Type:
        row = OUTPUTS[self.quantity]
        return Type(self._axis(row.per), Unit.parse(row.unit), row.trained)

    def _axis(self, per: Per) -> Axis:
        match per:
            case Per.PROMPT:
                return SEQUENCE
            case Per.RESPONSE:
                return response_axis(self.response)
            case Per.TOKEN:
                return token_axis(self.response)
        assert_never(per)


def is_divergence(node: Node) -> bool:
    """Tell the KL of what comes next at a token, over the whole vocabulary: the policy's, or the sampler's."""
    return (isinstance(node, Output) and node.quantity == Quantity.DIVERGENCE) or (
        isinstance(node, Column) and node.name == OUTPUTS[Quantity.DIVERGENCE].stored
    )


@dataclass(frozen=True, eq=False)
class Logp(Node):
    """The log-probabilities of the tokens of a response under a model; the model `policy` is trained."""

    model: str
    response: str

    def _infer(self) -> Type:
        return Type(token_axis(self.response), NAT, self.model == POLICY)


@dataclass(frozen=True, eq=False)
class Add(Node):
    """A sum; all units agree."""

    terms: tuple[Node, ...]

    def _infer(self) -> Type:
        units = {t.type.unit for t in self.terms}
        if len(units) > 1:
            named = " and ".join(sorted(str(u) for u in units))
            raise GraphTypeError(f"a sum of different units: {named}")
        return Type(_axis(self.terms), units.pop(), any(t.type.trained for t in self.terms))


@dataclass(frozen=True, eq=False)
class Multiply(Node):
    """A product; units multiply."""

    factors: tuple[Node, ...]

    def _infer(self) -> Type:
        unit = NONE
        for factor in self.factors:
            unit = unit * factor.type.unit
        return Type(_axis(self.factors), unit, any(f.type.trained for f in self.factors))


@dataclass(frozen=True, eq=False)
class Power(Node):
    """An integer power."""

    base: Node
    exponent: int

    def _infer(self) -> Type:
        inner = self.base.type
        return Type(inner.axis, inner.unit**self.exponent, inner.trained)


@dataclass(frozen=True, eq=False)
class Apply(Node):
    """A function of the table `FUNCTIONS`, applied to values without a unit."""

    function: str
    arguments: tuple[Node, ...]

    def _infer(self) -> Type:
        row = FUNCTIONS[self.function]
        units = {a.type.unit for a in self.arguments}
        if row.any_unit:
            return Type(
                _axis(self.arguments),
                NONE if row.flat else _one(units, self.function),
                self._trained(row.flat),
            )
        for unit in units - {NONE}:
            raise GraphTypeError(f"`{row.name}` takes a number without a unit, not {unit}")
        return Type(_axis(self.arguments), NONE, self._trained(row.flat))

    def _trained(self, flat: bool) -> bool:
        return not flat and any(a.type.trained for a in self.arguments)


@dataclass(frozen=True, eq=False)
class Reduce(Node):
    """A `sum` or `mean` over tokens, over a group, or over the rows of the global batch.

    `pairs` over a group is the sum of squared differences of all pairs.
    """

    kind: Reduction
    over: Over
    argument: Node

    def _infer(self) -> Type:
        inner = self.argument.type
        unit = inner.unit**2 if self.kind == "pairs" else inner.unit
        return Type(_outer(inner.axis, self.over), unit, inner.trained)


@dataclass(frozen=True, eq=False)
class Stop(Node):
    """The same value without a gradient."""

    argument: Node

    def _infer(self) -> Type:
        inner = self.argument.type
        return Type(inner.axis, inner.unit, False)


@dataclass(frozen=True, eq=False)
class Matched(Node):
    """For each row of the global batch, the value of `argument` that has the rank of the row's `like`.

    No gradient passes: the order is that of this step.
    """

    argument: Node
    like: Node

    def _infer(self) -> Type:
        inner = self.argument.type
        return Type(SEQUENCE, inner.unit, False)


@dataclass(frozen=True, eq=False)
class Running(Node):
    """The mean of a row's value over all rows that the job has seen, this batch included; no gradient passes."""

    argument: Node

    def _infer(self) -> Type:
        inner = self.argument.type
        return Type(_outer(inner.axis, "batch"), inner.unit, False)


class NamedRole(StrEnum):
    """The role of a named value in the loss."""

    VALUE = "value"
    """No special role."""
    ROW_LOSS = "row_loss"
    """The loss of a row, which a term averages over the batch."""
    DISTANCE = "distance"
    """The argument of a link: a margin, or the distance of a score from its target."""
    REFERENCE_POINT = "reference_point"
    """The reference point of scores, which is computed from a batch."""
    ADVANTAGE = "advantage"
    """The advantage of a response or a token over the expectation."""


@dataclass(frozen=True, eq=False)
class Named(Node):
    """A value with a name for the reader, such as z or u_w; no computation depends on its words."""

    name: str
    symbol: str
    meaning: str
    argument: Node
    role: NamedRole = NamedRole.VALUE

    def _infer(self) -> Type:
        return self.argument.type


def _axis(nodes: tuple[Node, ...]) -> Axis:
    axis = CONSTANT
    for node in nodes:
        axis = join_axes(axis, node.type.axis)
    return axis


def _one(units: set[Unit], function: str) -> Unit:
    if len(units) > 1:
        raise GraphTypeError(f"`{function}` of different units: {', '.join(sorted(map(str, units)))}")
    return next(iter(units))


def _outer(axis: Axis, over: Over) -> Axis:
    if over == "token" and axis.by_token:
        return response_axis(axis.response)
    if over == "group" and axis == GROUP:
        return SEQUENCE
    if over == "batch" and axis in (SEQUENCE, CONSTANT):
        return BATCH
    raise GraphTypeError(f"cannot reduce `{axis}` over `{over}`", "E401")
