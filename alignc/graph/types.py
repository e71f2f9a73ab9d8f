"""Types of graph values: their axis, their unit, and whether they have a gradient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from alignc.contract.responses import RESPONSES

__all__ = [
    "BATCH",
    "CONSTANT",
    "GROUP",
    "NONE",
    "SEQUENCE",
    "Axis",
    "AxisKind",
    "GraphTypeError",
    "Type",
    "Unit",
    "join_axes",
    "response_axis",
    "token_axis",
]


class AxisKind(StrEnum):
    """How fine an axis is, from coarse to fine."""

    CONSTANT = "constant"
    """One number for everything."""
    BATCH = "batch"
    """One number for the global batch."""
    SEQUENCE = "sequence"
    """One number for each row."""
    GROUP = "group"
    """One number for each response of a row."""
    TOKEN = "token"
    """One number for each token of a response."""


@dataclass(frozen=True)
class Axis:
    """The axis along which a value varies; that of tokens knows the response whose tokens they are."""

    kind: AxisKind
    response: str = ""

    @property
    def by_token(self) -> bool:
        """Whether there is one number for each token."""
        return self.kind is AxisKind.TOKEN

    @property
    def grouped(self) -> bool:
        """Whether a row has several responses along this axis."""
        return self.kind is AxisKind.GROUP or (self.by_token and RESPONSES[self.response].grouped)

    @property
    def single(self) -> bool:
        """Whether there is one number for all rows of the batch."""
        return self.kind in (AxisKind.CONSTANT, AxisKind.BATCH)

    @property
    def dimensions(self) -> int:
        """The dimensions of a tensor of such values: [], [rows], [rows, k], [rows, time] or [rows, k, time]."""
        return (not self.single) + self.grouped + self.by_token

    def __str__(self) -> str:
        return f"{self.kind}:{self.response}" if self.response else str(self.kind)


CONSTANT, BATCH, SEQUENCE, GROUP = (
    Axis(kind) for kind in (AxisKind.CONSTANT, AxisKind.BATCH, AxisKind.SEQUENCE, AxisKind.GROUP)
)


class GraphTypeError(TypeError):
    """An ill-typed graph: `code` is the diagnostic it becomes, `column` the place in a formula of the spec's."""

    def __init__(self, message: str, code: str = "E401", column: int | None = None) -> None:
        super().__init__(message)
        self.code, self.column = code, column


def token_axis(response: str) -> Axis:
    """Make the axis of one number for each token of a response."""
    return Axis(AxisKind.TOKEN, response)


def response_axis(response: str) -> Axis:
    """Find the axis of one number for a response: a row has one such response, or a group of them."""
    return GROUP if RESPONSES[response].grouped else SEQUENCE


@dataclass(frozen=True)
class Unit:
    """A product of powers of base units, such as nat/token."""

    powers: tuple[tuple[str, Fraction], ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Unit:
        """Read `1/nat`, `nat/token`, `1`, or nothing."""
        if not text or text == "1":
            return cls()
        above, _, below = text.partition("/")
        unit = cls.of(above) if above != "1" else cls()
        for name in below.split("·") if below else ():
            unit = unit / cls.of(name)
        return unit

    @classmethod
    def of(cls, name: str) -> Unit:
        """Make a base unit, or a product `a·b`."""
        unit = cls()
        for part in name.split("·"):
            unit = unit * cls(((part, Fraction(1)),))
        return unit

    def __mul__(self, other: Unit) -> Unit:
        total = dict(self.powers)
        for name, power in other.powers:
            total[name] = total.get(name, Fraction(0)) + power
        return Unit(tuple(sorted((n, p) for n, p in total.items() if p)))

    def __pow__(self, exponent: int | Fraction) -> Unit:
        return Unit(tuple((n, p * exponent) for n, p in self.powers if exponent))

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1

    def __str__(self) -> str:
        above = "·".join(_power(n, p) for n, p in self.powers if p > 0)
        below = "·".join(_power(n, -p) for n, p in self.powers if p < 0)
        return f"{above or '1'}/{below}" if below else above or "1"


def _power(name: str, power: Fraction) -> str:
    return name if power == 1 else f"{name}^{power}"


NONE = Unit()


@dataclass(frozen=True)
class Type:
    """The type of a node: its axis, its unit, and whether it depends on trained weights."""

    axis: Axis
    unit: Unit
    trained: bool


def join_axes(left: Axis, right: Axis) -> Axis:
    """Return the axis of a combination: the finer axis, if one axis contains the other.

    Raises GraphTypeError where neither does, as for tokens of different responses.
    """
    if left == right or _contains(left, right):
        return left
    if _contains(right, left):
        return right
    raise GraphTypeError(
        f"cannot combine `{left}` with `{right}`: reduce both over their tokens first", "E401"
    )


def _contains(fine: Axis, coarse: Axis) -> bool:
    """Return whether a value of one axis can be spread over another, such as one number per response over tokens."""
    if coarse.by_token or (coarse == GROUP and not fine.grouped):
        return False
    return ORDER[coarse.kind] < ORDER[fine.kind]


ORDER = {kind: place for place, kind in enumerate(AxisKind)}
