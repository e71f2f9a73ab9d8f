"""Types of graph values: along which axis they vary, in which unit, and whether a gradient passes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["BATCH", "CONSTANT", "GROUP", "NONE", "SEQUENCE", "GraphTypeError", "Type", "Unit", "token_axis"]

CONSTANT, BATCH, SEQUENCE, GROUP = "constant", "batch", "sequence", "group"
"""One number for all; one of the global batch; one a row; one for each response of a row."""


class GraphTypeError(TypeError):
    """An ill-typed graph: `code` is the diagnostic it becomes, `column` the place in a formula of the spec's."""

    def __init__(self, message: str, code: str = "E401", column: int | None = None) -> None:
        super().__init__(message)
        self.code, self.column = code, column


def token_axis(response: str) -> str:
    """Name the axis of one number a token of a response."""
    return f"token:{response}"


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
    """What a node is: its axis, its unit, and whether it depends on what is trained."""

    axis: str
    unit: Unit
    trained: bool


def join_axes(left: str, right: str) -> str:
    """Find the axis of a combination: the finer one, where one contains the other.

    Raises GraphTypeError where neither does, as for tokens of different responses.
    """
    if left == right or right in CONTAINED.get(_kind(left), ()):
        return left
    if left in CONTAINED.get(_kind(right), ()):
        return right
    raise GraphTypeError(
        f"cannot combine `{left}` with `{right}`: reduce both over their tokens first", "E401"
    )


CONTAINED = {
    BATCH: {CONSTANT},
    SEQUENCE: {CONSTANT, BATCH},
    GROUP: {CONSTANT, BATCH, SEQUENCE},
    "token": {CONSTANT, BATCH, SEQUENCE},
    "token:completions": {CONSTANT, BATCH, SEQUENCE, GROUP},
}


def _kind(axis: str) -> str:
    return axis if axis in CONTAINED or not axis.startswith("token:") else "token"
