"""Nodes that carry a unit, and names whose role says what they are to the loss."""

from __future__ import annotations

from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import NAT, TOKEN, Length, Logp, Named, NamedRole, Node, Parameter, UnitFactor
from alignc.graph.rewrite import substitute
from alignc.graph.types import NONE, Unit
from alignc.printers.formula import latex, text

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
