"""A sampled source beside given ones: read, refused where there are two, checked by part, explained and compiled."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignc.api import Compiled, Mixture, built, evaluate, explain, load, lowered, validate
from alignc.claims.model import Section, StepZero
from alignc.contract.job import read_job
from alignc.contract.support import require_supported
from alignc.diagnostics import Diagnostic
from alignc.explain.mixture import Mixed

TERMS = "[{preset: ppo, data: asked}, {preset: dpo, beta: 0.3, weight: 0.5, data: pairs}]"
REWARD = "reward: {kind: verifier, name: exact_number}"
ASKED = f"{{kind: prompts, source: a/asked, completions_per_prompt: 4, max_new_tokens: 9, {REWARD}}}"
PAIRS = "{kind: pairwise, source: a/pairs}"
SHOWN = "{kind: demonstrations, source: a/shown}"
MODEL = "{policy: {init: llama, tokenizer: bytes}}"


def written(
    folder: Path,
    terms: str = TERMS,
    data: str = "",
    *,
    train: str = "rollout_epochs: 2",
    model: str = MODEL,
    name: str = "spec",
) -> Path:
    rows = data or f"{{sources: {{asked: {ASKED}, pairs: {PAIRS}}}}}"
    objective = terms if terms.startswith("{") else f"{{terms: {terms}}}"
    path = folder / f"{name}.yaml"
    path.write_text(
        f"objective: {objective}\ndata: {rows}\ntrain: {{{train}}}\nmodel: {model}\n",
        "utf-8",
    )
    return path


def found(path: Path) -> list[Diagnostic]:
    """List the findings of a spec without those that PPO has anywhere: W213 tells of a KL that stays as it is."""
    return [d for d in validate(path).diagnostics if d.code != "W213"]


def errors(path: Path) -> list[Diagnostic]:
    return [d for d in found(path) if d.severity == "error"]


def mixture(path: Path) -> Mixture:
    whole = built(path, files=False)
    assert isinstance(whole, Mixture)
    return whole


def test_a_sampled_source_stands_beside_given_ones(tmp_path: Path) -> None:
    assert found(written(tmp_path)) == []
    assert found(written(tmp_path, train="rollout_epochs: 2, rollout_minibatches: 2")) == []


def test_two_sampled_sources_are_refused_where_the_second_stands(tmp_path: Path) -> None:
    terms = "[{preset: rloo, data: asked}, {preset: sppo, data: games}]"
    games = "{kind: self_play, source: a/games, completions_per_prompt: 2, oracle: {kind: column, name: x}}"
    path = written(tmp_path, terms, f"{{sources:\n  {{asked: {ASKED},\n  games: {games}}}}}")
    [refused] = [d for d in found(path) if d.code == "E115"]
    assert (refused.span.line, refused.span.column) == (4, 17)
    assert "`asked` and `games`" in refused.message


def test_the_preset_of_the_objective_gives_the_sampled_source_its_defaults(tmp_path: Path) -> None:
    """As where its source is the only one: GRPO samples 8 responses, and trains on them `epochs` times."""
    terms = "{preset: grpo, epochs: 3, terms: {policy: {data: asked}, shown: {preset: sft, data: shown}}}"
    few = "{kind: prompts, source: a/asked, reward: {kind: verifier, name: exact_number}}"
    path = written(tmp_path, terms, f"{{sources: {{asked: {few}, shown: {SHOWN}}}}}", train="")
    spec = load(path)
    assert spec.job.data.sources["asked"].completions_per_prompt == 8
    assert spec.job.train.rollout_epochs == 3
    assert spec.origin(("data", "sources", "asked", "completions_per_prompt")) == "preset:grpo"
    assert not [d for d in found(path) if d.code in ("W114", "E105")]
    explained = mixture(path).explanation.sources
    assert {v.field: v.value for v in explained["asked"].values}["epochs"] == 3
    assert explained["asked"].title == "Group relative policy optimisation"
    assert explained["shown"].title == "Supervised fine-tuning"
    assert not {"clip_range", "kl", "epochs"} & {v.field for v in explained["shown"].values}


def test_what_is_wrong_is_told_at_the_line_of_its_source(tmp_path: Path) -> None:
    one = ASKED.replace("prompt: 4", "prompt: 1")
    rloo = "[{preset: rloo, data: asked}, {preset: sft, data: shown}]"
    path = written(tmp_path, rloo, f"{{sources:\n  {{shown: {SHOWN},\n  asked: {one}}}}}")
    [few] = errors(path)
    assert (few.code, few.span.line) == ("E105", 1)
    bare = "{kind: prompts, source: a/asked, completions_per_prompt: 4}"
    [no_reward] = errors(written(tmp_path, rloo, f"{{sources:\n  {{shown: {SHOWN},\n  asked: {bare}}}}}"))
    assert (no_reward.code, no_reward.span.line) == ("E103", 4)


@pytest.mark.parametrize(
    ("metric", "codes"),
    [
        ("objective/scores", []),
        ("rewards/margins", []),
        ("source_2/loss", []),
        ("source_1/loss", ["E003"]),
        ("loss", ["E003"]),
        ("val/ratio", ["E003"]),
    ],
)
def test_the_best_checkpoint_is_chosen_by_what_is_evaluated(
    tmp_path: Path, metric: str, codes: list[str]
) -> None:
    """Answers to held-out prompts have no loss, so that there is no sum of the losses either."""
    held_out = [s.replace("}", ", eval: {fraction: 0.1}}", 1) for s in (PAIRS,)]
    asked = ASKED.replace("source: a/asked", "source: a/asked, eval: {fraction: 0.1}")
    data = f"{{sources: {{asked: {asked}, pairs: {held_out[0]}}}}}"
    path = written(tmp_path, data=data, train=f"rollout_epochs: 2, metric_for_best_model: {metric}")
    assert [d.code for d in found(path)] == codes


def test_only_the_source_of_the_best_metric_needs_held_out_rows(tmp_path: Path) -> None:
    asked = ASKED.replace("source: a/asked", "source: a/asked, eval: {fraction: 0.1}")
    data = f"{{sources: {{asked: {asked}, pairs: {PAIRS}}}}}"
    best = "rollout_epochs: 2, metric_for_best_model: {}"
    assert found(written(tmp_path, data=data, train=best.format("objective/scores"))) == []
    [missing] = found(written(tmp_path, data=data, train=best.format("rewards/margins")))
    assert missing.code == "E006"


def test_a_reference_that_moves_is_for_sampled_responses(tmp_path: Path) -> None:
    """Beside them demonstrations need no reference, and pairs need one that stays."""
    ema = MODEL[:-1] + ", reference: {kind: ema}}"
    shown = f"{{sources: {{asked: {ASKED}, shown: {SHOWN}}}}}"
    grpo = "[{preset: grpo, data: asked}, {preset: sft, data: shown}]"
    path = written(tmp_path, grpo, shown, model=ema)
    assert not [d for d in found(path) if d.severity == "error" or d.code == "W114"]
    assert mixture(path).parts["asked"].needs.anchors == ["ema", "rollout"]
    (tmp_path / "job.json").write_text(mixture(path).folder().files["job.json"])
    asked, demonstrations = read_job(tmp_path / "job.json").parts
    assert [part.spec.model.reference.kind for part in (asked, demonstrations)] == ["ema", "none"]
    for part in (asked, demonstrations):
        require_supported(dataclasses.asdict(part.spec))
    [refused] = errors(written(tmp_path, model=ema))
    assert (refused.code, refused.span.line) == ("E004", 4)
    bare = "[{preset: ppo, kl: null, data: asked}, {preset: dpo, data: pairs}]"
    frozen = MODEL[:-1] + ", reference: {kind: initial}}"
    assert found(written(tmp_path, bare, model=frozen)) == []  # the pairs read it


def test_rewards_of_a_source_are_found_wherever_the_spec_is_read(tmp_path: Path) -> None:
    from alignc.launch import Options, Stage, disallowed
    from alignc.load.pipeline import producers

    reward = "reward: [{kind: function, name: 'judges:mark'}, {kind: model, path: judge}]"
    asked = ASKED.replace(REWARD, reward)
    path = written(tmp_path, data=f"{{sources: {{asked: {asked}, pairs: {PAIRS}}}}}")
    whole = mixture(path)
    judge = whole.spec.job.data.sources["asked"].reward[1].path
    assert judge == "judge"
    stage = Stage(str(path), whole.spec.document, whole.folder(), Options(), producers(whole.spec.document))
    [refused] = disallowed([stage])
    assert (refused.code, refused.span.line) == ("E610", 2)
    local = asked.replace("path: judge", "path: ./judge")
    spec = load(written(tmp_path, data=f"{{sources: {{asked: {local}, pairs: {PAIRS}}}}}"))
    assert spec.job.data.sources["asked"].reward[1].path == str(tmp_path / "judge")


POINT: dict[str, Any] = {
    "asked": {
        "examples": [
            {
                "completions": [
                    {"logp": -3.0, "ref_logp": -3.25, "old_logp": -3.5, "length": 2, "reward": 1.0},
                    {"logp": -4.0, "ref_logp": -3.75, "old_logp": -4.0, "length": 3, "reward": 0.0},
                ]
            }
        ]
    },
    "pairs": {
        "examples": [
            {
                "chosen": {"logp": -11.0, "ref_logp": -12.5, "length": 7},
                "rejected": {"logp": -9.0, "ref_logp": -8.0, "length": 4},
            }
        ]
    },
}


def test_the_sum_at_a_point_of_both_sources(tmp_path: Path) -> None:
    """The loss and each gradient are those of the single specs, with the weights of the terms: to 1e-12."""
    terms = "[{preset: copg, weight: 2, data: asked}, {preset: dpo, beta: 0.3, weight: 0.5, data: pairs}]"
    asked = ASKED.replace("prompt: 4", "prompt: 2")
    whole = evaluate(
        written(tmp_path, terms, f"{{sources: {{asked: {asked}, pairs: {PAIRS}}}}}"), {"sources": POINT}
    )
    one = evaluate(written(tmp_path, "[{preset: copg}]", asked, name="one"), POINT["asked"])
    other = evaluate(written(tmp_path, "[{preset: dpo, beta: 0.3}]", PAIRS, name="other"), POINT["pairs"])
    assert whole["loss"] == pytest.approx(2 * one["loss"] + 0.5 * other["loss"], abs=1e-12)
    assert_scaled(whole["sources"]["asked"]["examples"], one["examples"], 2.0)
    assert_scaled(whole["sources"]["pairs"]["examples"], other["examples"], 0.5)


def assert_scaled(found: Any, alone: Any, weight: float) -> None:
    """Compare every number of the gradients of examples."""
    slopes = [list(leaves([example["gradient"] for example in each])) for each in (found, alone)]
    assert slopes[0] == pytest.approx([weight * slope for slope in slopes[1]], abs=1e-12)
    assert any(slopes[0])


def leaves(value: Any) -> Iterator[float]:
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield float(inner)


def test_explain_shows_each_part_and_the_rollout_of_the_sampled_one(tmp_path: Path) -> None:
    explained = explain(written(tmp_path, train="rollout_epochs: 2, rollout_minibatches: 2"))
    assert isinstance(explained, Mixed)
    assert explained.formula == "L = L₁ + L₂"
    assert "the rollouts of asked count the steps and epochs" in explained.batches
    assert any(
        "16 prompts, 4 responses of at most 9 tokens" in line
        for line in explained.sources["asked"].said(Section.ROLLOUT)
    )
    assert explained.sources["pairs"].said(Section.ROLLOUT) == []
    start = {c.metric: c.value for c in explained.sources["pairs"].claims if isinstance(c, StepZero)}
    assert start["source_2/loss"] == pytest.approx(0.5 * 0.6931471805599453)
    logged = {m.name for m in explained.sources["asked"].logged}
    assert {"objective/scores", "completions/ended"} <= logged
    names = [name for part in explained.sources.values() for name in part.metrics]
    assert len(set(names)) == len(names)


def test_the_job_of_a_mix_holds_the_plan_of_each_single_job(tmp_path: Path) -> None:
    whole = mixture(written(tmp_path))
    job = json.loads(whole.folder().files["job.json"])
    assert [rows["kind"] for rows in job["spec"]["data"]["sources"].values()] == ["prompts", "pairwise"]
    asked, pairs = job["plan"]["parts"]
    alone = built(written(tmp_path, "[{preset: ppo}]", ASKED, name="alone"), files=False)
    assert isinstance(alone, Compiled)
    single = json.loads(alone.folder().files["job.json"])["plan"]
    assert asked == single
    assert pairs["anchors"] == ["initial"]
    assert job["plan"]["outputs"] == ["token_value"]
    known = {"source_2/loss": pytest.approx(0.5 * 0.6931471805599453)}
    assert job["plan"]["step0"] == {
        **{k: v for k, v in single["step0"].items() if k != "loss"},
        **known,
        **{k: v for k, v in pairs["step0"].items() if k != "loss"},
    }
    assert body(whole.folder().files["loss_1.py"]) == body(alone.folder().files["loss.py"])


def body(source: str) -> str:
    return source[source.index("def loss(") :]


def test_one_source_is_taken_by_its_name(tmp_path: Path) -> None:
    from alignc.api import diff, verify

    path = written(tmp_path, "[{preset: rloo, data: asked}, {preset: dpo, data: pairs}]")
    alone = written(tmp_path, "[{preset: rloo}]", ASKED, name="alone")
    assert (
        lowered(path, files=False, source="asked").needs.anchors == lowered(alone, files=False).needs.anchors
    )
    assert diff(path, alone, source_a="asked").verdict == "equal"
    assert verify(path, source="asked").holds
