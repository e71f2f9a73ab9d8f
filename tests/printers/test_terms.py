"""A loss of several terms is written by the losses of its terms."""

from __future__ import annotations

import random

import pytest

from alignc.graph.evaluate import evaluate
from alignc.printers.formula import latex, text
from alignc.printers.terms import objective, term_losses

from ..batches import given, numbers
from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled


def shown(variant: Variant | Online) -> list[str]:
    made = compiled_online(variant) if isinstance(variant, Online) else compiled(variant)
    return [made.explanation.formula, *(line.split(" = ")[0] for line in made.explanation.losses)]


def test_one_term_is_written_out() -> None:
    assert shown(Variant("dpo")) == ["L = −E[log σ(β·(u_w − u_l))]"]


def test_several_terms_have_names() -> None:
    assert shown(METHODS[0]) == ["L = L_policy + c_v·L_value", "L_policy", "L_value"]
    assert shown(Variant("orpo")) == ["L = L_nll + λ·L_preference", "L_nll", "L_preference"]


def test_terms_of_one_kind_are_numbered() -> None:
    assert shown(Variant("nca")) == [
        "L = L_chosen + 0.5·L_chosen₂ + 0.5·L_rejected",
        "L_chosen",
        "L_chosen₂",
        "L_rejected",
    ]
    second = term_losses(compiled(Variant("nca")).loss)[1]
    assert latex(second) == r"L_{\mathrm{chosen}_2}"


@pytest.mark.parametrize("variant", [*ALL, *METHODS], ids=lambda v: v.name)
def test_the_sum_of_terms_is_the_loss(variant: Variant | Online) -> None:
    made = compiled_online(variant) if isinstance(variant, Online) else compiled(variant)
    known = given(numbers(random.Random(variant.name), made, 4), made.loss.outputs)
    assert evaluate(objective(made.loss), known) == pytest.approx(evaluate(made.loss.root, known), rel=1e-12)
    assert len(term_losses(made.loss)) == (len(made.loss.terms) if len(made.loss.terms) > 1 else 0)


def test_explain_shows_them_in_every_format() -> None:
    from alignc.explain.html import page
    from alignc.explain.latex import fragment
    from alignc.explain.show import show
    from alignc.printers.mermaid import mermaid

    made = compiled_online(METHODS[0])
    lines = show(made.explanation).splitlines()
    assert lines[2] == "  L = L_policy + c_v·L_value"
    assert [line.split(" = ")[0] for line in lines[3:5]] == ["  L_policy", "  L_value"]
    said = fragment(made.explanation, made.loss)
    assert r"\[ L = L_{\mathrm{policy}} + c_{v} \, L_{\mathrm{value}} \]" in said
    assert r"\[ L_{\mathrm{policy}} = \frac{" in said
    assert page(made.explanation, made.loss).count('display="block"') >= 3 + 2
    assert "L_policy = " in mermaid(made.loss)
    assert text(objective(made.loss)) == "L_policy + c_v·L_value"
