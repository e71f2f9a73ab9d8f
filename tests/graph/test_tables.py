"""The tables of responses, models and scores: each row is known to its readers, and no key stands outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import alignc
from alignc.api import lowered
from alignc.contract.kinds import KINDS
from alignc.contract.models import INITIAL, MODELS, POLICY, ROLLOUT, ModelName, anchors, is_other, other_name
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.contract.responses import GROUP, PAIR, RESPONSES, SINGLE, Response, in_order
from alignc.diff.atoms import atom_name
from alignc.graph.nodes import Logp
from alignc.graph.rewrite import inputs
from alignc.graph.types import token_axis
from alignc.lower.scores import SUFFIX, anchor_of
from alignc.point.reading import KEYS, logp_key, members_of
from alignc.printers.dialect import LATEX, TEXT
from alignc.printers.formula import latex, text
from alignc.printers.torch import Printer
from alignc.spec.axes import Score
from alignc.spec.kl import KLPlacement
from alignc.spec.objective import KLTerm, Likelihood, Pointwise
from alignc.spec.scores import SCORES, ScoreKind

PACKAGE = Path(alignc.__file__).parent
EXAMPLES = PACKAGE.parent / "examples"


# ---- responses ------------------------------------------------------------------------------------------------


def test_there_is_a_row_for_each_response() -> None:
    assert list(RESPONSES) == list(Response)
    assert {name for row in KINDS.values() for name in row.responses} <= set(Response)
    assert set(PAIR) | set(SINGLE) | set(GROUP) <= set(Response)
    for term in (Likelihood, KLTerm, Pointwise):
        assert set(get_args(term.model_fields["on"].annotation)) <= set(Response)


@pytest.mark.parametrize("response", Response)
def test_a_response_reads_the_same_everywhere(response: Response) -> None:
    row, node = RESPONSES[response], Logp(POLICY, response)
    assert (TEXT.response[response], LATEX.response[response]) == (row.text, row.latex)
    assert row.text in text(node)
    assert row.latex.partition("_")[0] in latex(node)
    assert SUFFIX[response] == row.suffix
    assert atom_name(node).endswith(f"_{row.suffix}")
    assert Printer({}).show(node)[0] == f'batch["policy/{response}"]'
    assert token_axis(response).grouped == row.grouped
    one = {"logp": -1.0}
    assert members_of([one] if row.grouped else one, response, "x")[0][0] is one


def test_responses_are_told_apart_and_sorted() -> None:
    for told in (lambda r: r.suffix, lambda r: r.text, lambda r: r.latex):
        assert len({told(row) for row in RESPONSES.values()}) == len(RESPONSES)
    assert in_order(reversed(Response)) == tuple(Response)


# ---- models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ModelName)
def test_a_model_reads_the_same_everywhere(model: ModelName) -> None:
    row, node = MODELS[model], Logp(model, "chosen")
    assert (TEXT.model(model), LATEX.model(model)) == (row.text, row.latex)
    assert row.text in text(node)
    assert row.latex in latex(node)
    assert atom_name(node) == f"{row.letter}_w"
    assert logp_key(model) == row.at
    assert row.at in KEYS
    assert Printer({}).show(node)[0] == f'batch["{model}/chosen"]'
    assert node.type.trained == (model == POLICY)
    assert (model in anchors()) == (model != POLICY)
    assert not is_other(model)


@pytest.mark.parametrize("model", anchors())
def test_a_spec_may_name_each_anchor(model: ModelName) -> None:
    assert Score(anchor=model).anchor == model
    assert KLTerm(name="kl", kind="kl", estimator="k2", anchor=model).anchor == model
    if model != ROLLOUT:  # the KL of a policy gradient is taken to a reference
        assert model in get_args(KLPlacement.model_fields["anchor"].annotation)


def test_models_are_told_apart() -> None:
    assert list(MODELS) == list(ModelName)
    assert len({row.letter for row in MODELS.values()}) == len(MODELS)
    assert [other_name(n) for n in (1, 2)] == ["other", "other2"]
    assert all(is_other(other_name(n)) for n in (1, 2, 12))


# ---- scores ---------------------------------------------------------------------------------------------------

SPECS = {
    "log_ratio": "dpo",
    "log_prob": "cpo",
    "log_odds": "orpo",
    "f_ratio": "f_dpo",
    "scalar_head": "reward_model",
}


def test_there_is_a_row_for_each_score_that_a_spec_may_name() -> None:
    assert SCORES.keys() == set(get_args(ScoreKind)) == SPECS.keys()


@pytest.mark.parametrize("kind", SPECS)
def test_a_score_is_lowered_as_its_row_says(kind: ScoreKind) -> None:
    row, compiled = SCORES[kind], lowered(EXAMPLES / f"{SPECS[kind]}.yaml", files=False)
    scores = [getattr(term, "score", None) for term in compiled.spec.job.objective.terms]
    assert kind in {score.of for score in scores if score is not None}
    assert anchor_of(Score(of=kind)) == (INITIAL if row.ratio else "none")
    assert (INITIAL in compiled.loss.models) == row.ratio
    assert f"{row.letter}_w" in {n.symbol for n in compiled.loss.named}
    assert any(isinstance(n, Logp) for n in inputs(compiled.loss.root)) == (row.ratio or row.likelihood)


# ---- no key outside its table ---------------------------------------------------------------------------------

ANYWHERE = {
    *Response,
    *(q for q in Quantity if "_" in q),
    *(row.stored for row in OUTPUTS.values() if row.stored),
}
ANYWHERE |= SCORES.keys() - {"log_odds"}  # also the name of a function
"""Keys that are the word of nothing else: no module but those below has them as a literal."""
HOMES = {
    "contract/responses.py": "the table",
    "contract/outputs.py": "the table",
    "spec/scores.py": "the table",
    "contract/rewards.py": "keys of the endpoint's and the function's protocol",
    "spec/": "columns of a data file, and choices of a field, which the tests above hold against the tables",
    "schema/": "columns of a data file",
    "diagnostics/catalogue/": "rows of a data file",
    "contract/layouts.py": "columns of a data file",
    "runtime/data/columns.py": "columns of a data file",
    "runtime/data/format.py": "columns of a data file",
    "runtime/data/mismatch.py": "the purpose of a seed",
    "runtime/reward/": "keys of the endpoint's and the function's protocol",
    "runtime/after/compare.py": "keys of the result",
    "runtime/kernels/squares.py": "the name of the function itself",
    "cli/": "words and keys of what is shown",
    "report/": "keys of a row of completions.jsonl",
}
NODES = ("Logp", "Output")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text("utf-8"))


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Find the literals of a module, but for the names that it exports."""
    for statement in tree.body:
        exports = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
        for node in ast.walk(statement) if not exports else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node


def test_no_key_of_a_table_is_a_literal_outside_it() -> None:
    found = [
        f"{name}:{node.lineno} {node.value!r}"
        for name, tree in modules()
        if not name.startswith(tuple(HOMES))
        for node in strings(tree)
        if node.value in ANYWHERE
    ]
    assert not found


def test_models_and_outputs_are_named_by_their_tables_where_a_graph_is_built_or_read() -> None:
    assert not [f"{name}:{line}" for name, tree in modules() for line in _named_by_hand(tree)]


def _named_by_hand(tree: ast.Module) -> Iterator[int]:
    """Find `Logp("policy", …)`, `Logp(model="policy")`, `.model == "policy"`, `"score" in a.outputs` and the like."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args) if name in NODES:
                yield from (a.lineno for a in args if isinstance(a, ast.Constant))
            case ast.MatchClass(cls=ast.Name(id=name), kwd_patterns=patterns) if name in NODES:
                inner = [p.value for p in patterns if isinstance(p, ast.MatchValue)]
                yield from (v.lineno for v in inner if isinstance(v, ast.Constant))
            case ast.Compare(left=left, comparators=[right]):
                sides = (left, right)
                read = {n.attr for n in sides if isinstance(n, ast.Attribute)}
                if read & {"model", "quantity", "models", "outputs", "anchors"}:
                    yield from (n.lineno for n in sides if isinstance(n, ast.Constant))
