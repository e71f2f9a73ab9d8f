"""The table of a model's outputs: each row is known to everything that reads a graph."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from alignc.api import Compiled, lowered
from alignc.claims.model import Section
from alignc.contract.outputs import OUTPUTS, ModelOutput, Per, Quantity
from alignc.diff.atoms import atom_name
from alignc.explain.latex import fragment
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Node, Output
from alignc.graph.rewrite import inputs
from alignc.graph.types import SEQUENCE, response_axis, token_axis
from alignc.point.evaluate import PointError, at_point
from alignc.printers.formula import latex, text
from alignc.printers.outline import outline

from ..online_variants import METHODS, compiled_online, response

EXAMPLES = Path(__file__).parents[2] / "examples"
ONLINE = {
    Quantity.TOKEN_VALUE: "critic-and-entropy",
    Quantity.ENTROPY: "critic-and-entropy",
    Quantity.DIVERGENCE: "full-loss-token",
}
GIVEN = {Quantity.VALUE: "dro", Quantity.SCORE: "reward_model", Quantity.LOG_SUM_SQUARES: "wpo"}


def reader(quantity: Quantity) -> Compiled:
    """Compile a spec whose loss reads an output."""
    if quantity in GIVEN:
        return lowered(EXAMPLES / f"{GIVEN[quantity]}.yaml", files=False)
    return compiled_online(next(v for v in METHODS if v.name == ONLINE[quantity]))


def read_by(compiled: Compiled, quantity: Quantity) -> Output:
    return next(n for n in inputs(compiled.loss.root) if isinstance(n, Output) and n.quantity == quantity)


@pytest.fixture(params=Quantity)
def row(request: pytest.FixtureRequest) -> ModelOutput:
    return OUTPUTS[request.param]


def test_there_is_a_row_for_each_output_and_a_spec_that_reads_it() -> None:
    assert OUTPUTS.keys() == set(Quantity) == ONLINE.keys() | GIVEN.keys()


def test_its_type_is_that_of_the_row(row: ModelOutput) -> None:
    axes = {Per.PROMPT: SEQUENCE, Per.RESPONSE: response_axis("chosen"), Per.TOKEN: token_axis("chosen")}
    found = Output(row.name, "policy", "chosen").type
    assert (found.axis, str(found.unit), found.trained) == (axes[row.per], row.unit, row.trained)


def test_it_is_evaluated_and_differentiated_as_an_input(row: ModelOutput) -> None:
    node = Output(row.name, "policy", "chosen")
    whole: Node = b.bare(b.sum_over("token", node) if row.per == Per.TOKEN else node)
    root = b.power(whole, 2)
    value = [[1.0, 2.0]] if row.per == Per.TOKEN else [3.0]
    assert evaluate(root, {node: value}) == [9.0]
    slope = gradient(root, node)
    assert evaluate(slope, {node: value}) == ([6.0] if row.trained else 0.0)


def test_it_is_printed_in_each_notation(row: ModelOutput) -> None:
    node = Output(row.name, "policy", "chosen")
    for shown, template in ((text(node), row.text), (latex(node), row.latex)):
        assert template
        assert not {"{response}", "{before}", "{model}", "{reference}"} & set(shown.split())
        assert shown.count("{") == shown.count("}")
    assert ("y_w" in text(node)) == (row.per != Per.PROMPT)


def test_it_has_a_name_of_its_own_where_losses_are_compared(row: ModelOutput) -> None:
    names = [atom_name(Output(name, "policy", "chosen")) for name in Quantity]
    assert names.count(atom_name(Output(row.name, "policy", "chosen"))) == 1


def test_a_spec_that_reads_it_says_so_everywhere(row: ModelOutput) -> None:
    compiled = reader(row.name)
    node = read_by(compiled, row.name)
    assert row.name in compiled.needs.outputs
    assert row.words in {v.meaning for v in outline(compiled.loss).vertices}
    name = row.name if row.per == Per.PROMPT else f"{row.name}/{node.response}"
    assert f'batch["{name}"]' in compiled.folder().files["loss.py"]
    if row.moves:
        said = compiled.explanation.said(Section.GRADIENT)
        assert any(f"/∂{row.letter} = " in line and line.endswith(f": {row.moves}") for line in said)
        assert rf"\partial {row.letter}" in fragment(compiled.explanation, compiled.loss)


def test_a_point_gives_it_under_its_key(row: ModelOutput) -> None:
    compiled = reader(row.name)
    node = read_by(compiled, row.name)
    example = point(compiled, node)
    assert at_point(compiled.loss, {"examples": [example]}, possible=False)["loss"]
    first = example[node.response]
    del (first[0] if isinstance(first, list) else first)[row.at]
    with pytest.raises(PointError, match=f"missing key `{row.at}`") as error:
        at_point(compiled.loss, {"examples": [example]}, possible=False)
    assert error.value.code == "E006"


def point(compiled: Compiled, node: Output) -> dict[str, Any]:
    """Draw an example, with everything that a loss may read of a response."""
    rng = random.Random(0)
    logarithms = {q: row for q, row in OUTPUTS.items() if row.logarithm}

    def drawn() -> dict[str, Any]:
        known = {**response(rng), "score": 0.3}
        known |= {row.at: [-1.0 for _ in known["logp"]] for row in logarithms.values()}
        return known if node.quantity != Quantity.VALUE else {**known, "value": 0.7}

    return {
        name: [drawn(), drawn()] if name == "completions" else drawn()
        for name in compiled.loss.view.responses
    }
