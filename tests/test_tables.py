"""The tables: each key stands in its table alone, and every interpreter knows every row."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import alignc
from alignc.api import Compiled
from alignc.contract import needs
from alignc.contract.baselines import BASELINES, PARTITIONS
from alignc.contract.engines import ENGINES
from alignc.contract.failure import Failure
from alignc.contract.needs import Advantage
from alignc.contract.rewards import BRADLEY_TERRY, REWARDS
from alignc.contract.samplers import SAMPLERS
from alignc.contract.tables import look_up
from alignc.explain.latex import fragment
from alignc.explain.show import show
from alignc.launch.planning import plan_of
from alignc.lower.links import LINKS
from alignc.lower.surrogates import SURROGATES
from alignc.runtime.engines.engine import BUILDERS
from alignc.runtime.reward.build import BUILDERS as REWARD_BUILDERS
from alignc.runtime.reward.build import build_reward
from alignc.runtime.reward.oracle import build_oracle
from alignc.runtime.rollout.advantage import LEVELS, advantages
from alignc.runtime.samplers.sampler import OPENERS
from alignc.spec.aggregations import AGGREGATIONS, AggregationName
from alignc.spec.axes import Link, Margin
from alignc.spec.base import Spec
from alignc.spec.kl import ESTIMATORS, EstimatorRow
from alignc.spec.policy import Baseline, Surrogate
from alignc.spec.rewards import Oracle, Source
from alignc.spec.targets import ReferencePoint, Target
from alignc.theory import divergence
from alignc.theory.divergence import meaning
from alignc.verify import verify

from .variants import of_spec

PACKAGE = Path(alignc.__file__).parent
TEMPLATES = PACKAGE.parent / "templates"


@dataclass(frozen=True)
class Table:
    """The keys of a table and the files of `alignc/` that may spell them.

    A key in `words` is an ordinary word, or the name of a package: other files may hold it, but may not decide by it
    where they ask about the table's `subject`, a pattern of the expression that is compared or matched.
    """

    keys: Collection[str]
    homes: tuple[str, ...]
    words: Collection[str] = ()
    subject: str = ""


def kinds(union: object) -> set[str]:
    """Collect the kinds of a union of models of the spec."""
    if isinstance(union, type):
        return set(get_args(union.model_fields["kind"].annotation)) if issubclass(union, Spec) else set()
    return {kind for part in get_args(union) for kind in kinds(part)}


TABLES = {
    "samplers": Table(SAMPLERS, ("contract/samplers.py",), words=SAMPLERS),
    "baselines": Table(
        BASELINES,
        ("contract/baselines.py", "spec/policy.py"),
        words={"none", "constant", "value", "other", "batch_mean", "group_mean"},
        subject=r"(?<!target\.)baseline",
    ),
    "surrogates": Table(
        SURROGATES,
        ("lower/surrogates.py", "spec/policy.py"),
        words={"importance", "clipped", "soft"},
        subject="surrogate",
    ),
    "aggregations": Table(
        AGGREGATIONS,
        ("spec/aggregations.py", "spec/objective.py"),
        words={"token_mean", "sequence_mean", "global_token_mean"},
        subject="aggregation|how",
    ),
    "links": Table(
        LINKS,
        ("lower/links.py", "spec/axes.py", "spec/objective.py"),
        words={*LINKS} - {"logistic", "exo"},
        subject=r"link\.kind",
    ),
    "margins": Table(kinds(Margin), ("spec/axes.py",), words=kinds(Margin), subject=r"margin\.kind"),
    "targets": Table(kinds(Target), ("spec/targets.py",), words=kinds(Target), subject=r"target\.kind"),
    "reference points": Table(
        kinds(ReferencePoint), ("spec/targets.py",), words={"none"}, subject=r"reference_point\.kind"
    ),
    "estimators": Table(
        ESTIMATORS, ("spec/kl.py", "theory/divergence.py"), words={"abs", "full"}, subject="estimator"
    ),
    "partitions": Table(
        PARTITIONS, ("contract/baselines.py",), words={"batch_mean"}, subject="baseline|column"
    ),
    "engines": Table(ENGINES, ("contract/engines.py",), words=ENGINES),
    "rewards": Table(
        REWARDS,
        ("contract/rewards.py", "spec/rewards.py"),
        words=set(REWARDS) - {"bradley_terry"},
        subject="source|config|reward|oracle",
    ),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def spelt(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every text of a module that is no docstring, with its line."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    prose = {
        id(node.value)
        for body in (b.body for b in ast.walk(tree) if isinstance(b, documented))
        for node in body
        if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value, node.lineno


def decided(tree: ast.AST) -> Iterator[tuple[str, int, str]]:
    """Yield every text that a module decides by, with its line and the expression that is compared or matched."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                about, sides = node, [left, *others]
            case ast.Match(subject=about, cases=cases):
                patterns = (v for c in cases for v in ast.walk(c.pattern))
                sides = [v.value for v in patterns if isinstance(v, ast.MatchValue)]
            case _:
                continue
        for side in sides:
            several = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
            for each in several:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value, each.lineno, ast.unparse(about)


@cache
def texts_of(path: Path) -> tuple[list[tuple[str, int]], list[tuple[str, int, str]]]:
    tree = ast.parse(path.read_text("utf-8"))
    return list(spelt(tree)), list(decided(tree))


def misplaced(table: Table, path: Path) -> Iterator[str]:
    """Yield the keys of a table that a module spells although it is no home of the table."""
    place = path.relative_to(PACKAGE).as_posix()
    if place in table.homes:
        return
    every, compared = texts_of(path)
    rare = set(table.keys) - set(table.words)
    yield from (f"{place}:{line}: {key}" for key, line in every if key in rare)
    for key, line, about in compared:
        if key in table.words and re.search(table.subject, about):
            yield f"{place}:{line}: {key}"


@pytest.mark.parametrize("name", TABLES)
def test_the_keys_of_a_table_stand_in_the_table_alone(name: str) -> None:
    assert [found for path in MODULES for found in misplaced(TABLES[name], path)] == []


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_no_template_decides_by_a_key(template: Path) -> None:
    logic = "\n".join(re.findall(r"\{[%{].*?[%}]\}", template.read_text("utf-8")))
    told = set(re.findall(r"[\"']([^\"']*)[\"']", logic))
    assert {name for name, table in TABLES.items() if told & set(table.keys)} == set()


def test_a_key_in_the_wrong_file_is_found(tmp_path: Path) -> None:
    tree = ast.parse('"""deepspeed"""\nif engine == "deepspeed":\n    name = "accelerate"\n')
    assert list(decided(tree)) == [("deepspeed", 2, "engine == 'deepspeed'")]
    assert [key for key, _ in spelt(tree)] == ["deepspeed", "accelerate"]


def test_a_key_without_a_row_is_refused() -> None:
    with pytest.raises(
        Failure, match=r"E806: this runtime does not know the engine `fsdp`; it knows accelerate"
    ):
        look_up(ENGINES, "fsdp", "engine")


@pytest.mark.parametrize(
    ("table", "interpreter"),
    [
        ({n for n, row in BASELINES.items() if row.levels}, LEVELS),
        (SAMPLERS, OPENERS),
        (ENGINES, BUILDERS),
        (set(REWARDS) - {BRADLEY_TERRY.name}, REWARD_BUILDERS),
    ],
    ids=["baselines", "samplers", "engines", "rewards"],
)
def test_the_runtime_knows_every_row(table: Collection[str], interpreter: Collection[str]) -> None:
    assert set(interpreter) == set(table)


def test_a_spec_offers_the_kinds_that_have_a_row() -> None:
    assert kinds(Oracle) == set(REWARDS)
    assert kinds(Source) == set(REWARDS) - {BRADLEY_TERRY.name}
    assert kinds(Baseline) == set(BASELINES)
    assert kinds(Surrogate) == set(SURROGATES)
    assert kinds(Link) == set(LINKS)
    assert get_args(AggregationName) == tuple(AGGREGATIONS)


def test_an_unknown_source_of_reward_is_refused_and_is_no_reward_model() -> None:
    for build in (build_reward, build_oracle):
        with pytest.raises(Failure, match=r"E806.*`telepathy`"):
            build({"kind": "telepathy", "path": "x"}, allowed=[], device=None)


TOTALS = [1.0, 0.0, 5.0, 2.0]
FIELDS = {"value": 0.75}


def with_baseline(kind: str, settings: Mapping[str, float]) -> Advantage:
    return Advantage("reward", False, "token", needs.Baseline(kind, settings), 1.0, 1.0, False)


@pytest.mark.parametrize("name", [name for name, row in BASELINES.items() if row.levels])
def test_the_runtime_subtracts_what_the_row_of_a_baseline_means(name: str) -> None:
    row, totals = BASELINES[name], TOTALS[:2] if BASELINES[name].pair else TOTALS
    assert row.levels is not None
    found = advantages(
        with_baseline(name, FIELDS),
        reward=torch.tensor([totals]),
        penalty=None,
        value=None,
        mask=torch.ones(1, len(totals), 3),
    )["advantage"]
    wanted = [total - level for total, level in zip(totals, row.levels(totals, FIELDS), strict=True)]
    assert found[0, :, 0].tolist() == pytest.approx(wanted, abs=1e-15)


def test_an_unknown_baseline_is_refused_and_is_not_none() -> None:
    ones = torch.ones(1, 2)
    with pytest.raises(Failure, match=r"E806.*`median`"):
        advantages(with_baseline("median", {}), reward=ones, penalty=None, value=None, mask=ones[..., None])


# ---- every interpreter knows every row --------------------------------------------------------------------------

SETTINGS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("link", "formula"): {"formula": "softplus(-z)"},
    ("margin", "constant"): {"value": 0.5},
    ("margin", "length"): {"alpha": 0.1},
    ("margin", "drop"): {"weight": 2.0},
    ("target", "constant"): {"value": 0.5},
    ("target", "win_rate"): {"eta": 2.0},
    ("baseline", "constant"): {"value": 0.5},
}
"""The fields that an axis must have beside its kind."""
AXES = {
    "link": ("preference", "pairwise", kinds(Link)),
    "margin": ("preference", "pairwise", kinds(Margin)),
    "target": ("pointwise", "pointwise", kinds(Target)),
    "reference_point": ("pointwise", "pointwise", kinds(ReferencePoint)),
    "baseline": ("policy_gradient", "prompts", kinds(Baseline)),
    "surrogate": ("policy_gradient", "prompts", kinds(Surrogate)),
    "aggregation": ("policy_gradient", "prompts", set(AGGREGATIONS)),
    "estimator": ("policy_gradient", "prompts", set(ESTIMATORS)),
}
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "link": {"margin": {"kind": "constant", "value": 0.5}},
    "target": {"link": "squared"},
    "reference_point": {"link": "utility"},
}
"""What an axis stands beside, so that no check refuses the objective."""
CASES = [(axis, kind) for axis, (_, _, every) in AXES.items() for kind in sorted(every)]


def with_axis(axis: str, kind: str) -> Compiled:
    """Compile an objective of one term whose axis is of this kind."""
    term, data, _ = AXES[axis]
    value = kind if axis == "aggregation" else {"kind": kind, **SETTINGS.get((axis, kind), {})}
    if axis == "estimator":
        place = "reward" if kind in ("k1", "full") else "loss"
        axis, value = "kl", {"estimator": kind, "placement": place}
    terms = [{"name": "term", "kind": term, **BESIDE.get(axis, {}), axis: value}]
    if (axis, kind) == ("baseline", "value"):
        terms.append({"name": "critic", "kind": "value"})
    k = ["data.completions_per_prompt=2"] if data == "prompts" else []
    return of_spec({"terms": terms}, data, k)


@pytest.mark.parametrize(("axis", "kind"), CASES, ids=[f"{axis}-{kind}" for axis, kind in CASES])
def test_every_reader_of_a_loss_knows_every_row(axis: str, kind: str) -> None:
    found = with_axis(axis, kind)
    compile(found.folder().files["loss.py"], "loss.py", "exec")
    assert "gradient" in show(found.explanation)
    assert fragment(found.explanation, found.loss).count("=") > 1
    assert plan_of(found.whole, read_data=False).forwards
    claims = verify(found.spec, found.loss).claims
    assert claims
    assert [claim for claim in claims if claim.holds is False] == []


@pytest.mark.parametrize("row", [row for row in ESTIMATORS.values() if row.kappa], ids=lambda row: row.name)
def test_an_estimator_that_theory_has_no_entry_for_is_decided_by_its_formula(
    row: EstimatorRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = meaning(row.name, "loss").kind
    monkeypatch.setattr(divergence, "TABLE", {})
    assert meaning(row.name, "loss").kind == known
