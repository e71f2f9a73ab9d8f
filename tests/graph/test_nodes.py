"""Nodes that carry a unit, and names whose role says what they are to the loss."""

from __future__ import annotations

import pytest

from alignc.contract.outputs import Quantity
from alignc.diff.atoms import atom_name
from alignc.diff.normal import Normal
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import (
    NAT,
    TOKEN,
    Add,
    Apply,
    Column,
    GroupSize,
    Length,
    Logp,
    Matched,
    Multiply,
    Named,
    NamedRole,
    Node,
    Output,
    Parameter,
    Position,
    Power,
    Reduce,
    Running,
    Stop,
    UnitFactor,
)
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.sign import sign
from alignc.graph.types import NONE, Unit
from alignc.graph.walk import walk
from alignc.printers.formula import latex, text
from alignc.printers.torch import Printer

U: Node = b.sum_over("token", Logp("policy", "chosen"))
LENGTH = Length("chosen")


def test_a_unit_is_carried_by_a_node_of_its_own() -> None:
    bare, back = b.bare(U), b.in_unit(b.bare(U), NAT)
    assert bare.type.unit == NONE
    assert (back.type.unit, text(back)) == (NAT, text(U))
    assert b.multiply(U, UnitFactor(NAT**-1)) is bare
    assert b.in_unit(U, NAT) is U


def test_the_factor_is_the_number_1_wherever_it_stands() -> None:
    ratio = b.divide(b.in_unit(b.constant(3), NAT), b.in_unit(LENGTH, Unit.of("reward")))
    assert str(ratio.type.unit) == "nat/reward"
    assert evaluate(ratio, {LENGTH: [2.0]}) == [1.5]
    assert text(ratio) == "3/|y_w|"
    assert latex(UnitFactor(TOKEN)) == "1"
    assert gradient(b.bare(U), U) is UnitFactor(NAT**-1)


def test_no_parameter_stands_for_a_unit() -> None:
    assert not [f for f in b.bare(U).factors if isinstance(f, Parameter)]  # type: ignore[attr-defined]


def test_a_role_stays_where_a_graph_is_rebuilt() -> None:
    inside = b.subtract(U, b.in_unit(LENGTH, NAT))
    point = b.name("m", "m", "any words", inside, NamedRole.REFERENCE_POINT)
    plain = b.name("m", "m", "any words", inside)
    assert plain is not point
    assert isinstance(plain, Named)
    assert plain.role is NamedRole.VALUE
    renamed = substitute(point, {LENGTH: Length("rejected")})
    assert isinstance(renamed, Named)
    assert renamed.role is NamedRole.REFERENCE_POINT
    assert renamed.argument is not point.argument  # type: ignore[attr-defined]


TOKENS = Logp("policy", "chosen")
SAMPLES: dict[type[Node], Node] = {
    type(node): node
    for node in (
        b.constant(2),
        Parameter("beta", "β", 0.1, NONE, "objective.beta"),
        UnitFactor(NAT),
        Column("margin", None, NONE),
        LENGTH,
        GroupSize(),
        Position("chosen"),
        Output(Quantity.SCORE, "policy", "chosen"),
        TOKENS,
        Add((LENGTH, Length("rejected"))),
        Multiply((LENGTH, GroupSize())),
        Power(LENGTH, 2),
        Apply("exp", (Output(Quantity.SCORE, "policy", "chosen"),)),
        Reduce("sum", "token", TOKENS),
        Stop(Output(Quantity.SCORE, "policy", "chosen")),
        Matched(Column("margin", None, NONE), Output(Quantity.SCORE, "policy", "chosen")),
        Running(Column("margin", None, NONE)),
        Named("z", "z", "margin", Output(Quantity.SCORE, "policy", "chosen")),
    )
}


@pytest.mark.parametrize("kind", Node.__subclasses__(), ids=lambda kind: kind.__name__)
def test_each_kind_of_node_is_known_to_each_reader(kind: type[Node]) -> None:
    node = SAMPLES[kind]
    leaves = inputs(node)
    numbers = {n: [[-1.0, -2.0]] if n.type.axis.by_token else [2.0] for n in leaves}
    assert evaluate(node, numbers) is not None
    assert text(node)
    assert latex(node)
    assert Printer({s: "s" for s in walk(node) if isinstance(s, Matched | Running)}).show(node)[0]
    assert Normal({}).of(node) is not None
    assert substitute(node, {}) is node
    assert sign(node) in (-1, 0, 1, None)
    for leaf in leaves:
        if not isinstance(node, Matched | Running):  # no gradient passes, of which nothing is asked
            assert gradient(node, leaf) is not None
        assert atom_name(leaf)
