"""Layers of a spec: what it extends, presets, overrides; the origin of every value; paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alignc.diagnostics import DiagnosticError
from alignc.load.load import Loaded, load

BASE = """\
objective: {preset: dpo, beta: 0.2}
model: {policy: org/model}
data: {kind: pairwise, source: org/pairs}
train: {learning_rate: 1.0e-5, report_to: [tensorboard, wandb]}
"""
OWN = """\
preset: ours
title: Ours
summary: Ours.
data: [pairwise]
parameters:
  gap: {default: 2, gt: 0}
terms:
  - name: pref
    kind: preference
    score: {of: log_ratio, beta: 0.5}
    margin: {kind: constant, value: =gap/4}
    link: {kind: logistic}
train: {learning_rate: 3.0e-6}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)

    def write(**files: str) -> None:
        for name, text in files.items():
            Path(f"{name}.yaml").write_text(text, "utf-8")

    return write


def origins(spec: Loaded, *paths: str) -> list[str]:
    return [spec.origin(tuple(int(s) if s.isdecimal() else s for s in path.split("."))) for path in paths]


def findings(path: str, *overrides: str) -> list[tuple[str, str, int, int]]:
    with pytest.raises(DiagnosticError) as caught:
        load(path, overrides)
    return [(d.code, d.span.file, d.span.line, d.span.column) for d in caught.value.diagnostics]


class TestExtends:
    def test_mappings_merge_and_the_rest_is_replaced(self, write) -> None:
        write(base=BASE, spec="extends: base.yaml\ntrain: {max_steps: 3, report_to: []}\nname: mine\n")
        spec = load("spec.yaml")
        assert (spec.job.train.learning_rate, spec.job.train.max_steps, spec.job.train.report_to) == (
            1e-5,
            3,
            [],
        )
        assert spec.job.name == "mine"
        assert origins(spec, "train.learning_rate", "train.max_steps", "objective.beta", "train.seed") == [
            "base.yaml:4:24", "spec.yaml:2:20", "base.yaml:1:32", "default",
        ]  # fmt: skip

    def test_a_chain(self, write) -> None:
        write(
            a=BASE,
            b="extends: a.yaml\ntrain: {seed: 1, max_steps: 1}\n",
            c="extends: b.yaml\ntrain: {max_steps: 2}\n",
        )
        spec = load("c.yaml")
        assert (spec.job.train.seed, spec.job.train.max_steps, spec.job.train.learning_rate) == (1, 2, 1e-5)
        assert origins(spec, "train.seed", "train.max_steps") == ["b.yaml:2:15", "c.yaml:2:20"]
        assert spec.job.name == "c"

    def test_a_preset(self, write) -> None:
        write(spec=BASE.replace("objective: {preset: dpo, beta: 0.2}", "extends: preset:sft")
                       .replace("pairwise", "demonstrations"))  # fmt: skip
        spec = load("spec.yaml")
        assert [term.kind for term in spec.job.objective.terms] == ["likelihood"]

    def test_a_base_in_another_folder_keeps_its_paths(self, write, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "base.yaml").write_text(BASE.replace("org/pairs", "pairs.jsonl"))
        write(spec="extends: sub/base.yaml\n", other="extends: sub/base.yaml\ndata: {source: pairs.jsonl}\n")
        assert load("spec.yaml").job.data.source == str(tmp_path / "sub" / "pairs.jsonl")
        assert load("other.yaml").job.data.source == str(tmp_path / "pairs.jsonl")

    def test_seventeen_are_too_many(self, write) -> None:
        chain = {f"s{n}": f"extends: s{n + 1}.yaml\n" for n in range(20)}
        write(**chain, s20=BASE)
        assert [code for code, *_ in findings("s0.yaml")] == ["E001"]
        assert load("s10.yaml").job.name == "s10"

    def test_another_form_replaces_the_one_below(self, write) -> None:
        write(
            base=BASE.replace("org/model", "{init: llama, hidden_size: 8}").replace(
                "source: org/pairs", "source: org/pairs, eval: {source: x/y, split: test}"
            ),
            run="extends: base.yaml\nmodel: {policy: {run: base.yaml}}\ndata: {eval: {fraction: 0.5}}\n",
            terms="extends: base.yaml\nobjective: {terms: [{name: nll, kind: likelihood, on: chosen}]}\n",
        )
        job = load("run.yaml").job
        assert job.model.policy == os.path.abspath("runs/base/model")
        assert job.data.eval.model_dump() == {"fraction": 0.5}
        assert [t.name for t in load("terms.yaml").job.objective.terms] == ["nll"]


class TestOverrides:
    def test_types_are_those_of_a_file(self, write) -> None:
        write(base=BASE)
        job = load("base.yaml", ["train.learning_rate=1e-7", "train.max_steps=5", "train.bf16=true",
                                 "model.revision='5'", "train.eval_steps=null", "name=no"]).job  # fmt: skip
        assert (job.train.learning_rate, job.train.max_steps, job.train.bf16) == (1e-7, 5, True)
        assert (job.model.revision, job.train.eval_steps, job.name) == ("5", None, "no")

    def test_mappings_and_lists(self, write) -> None:
        write(base=BASE)
        spec = load(
            "base.yaml", ["model.adapter={r: 4}", "train.report_to.1=tensorboard", "data.columns.prompt=q"]
        )
        assert (spec.job.model.adapter.r, spec.job.data.columns.prompt) == (4, "q")
        assert spec.job.train.report_to == ["tensorboard", "tensorboard"]
        assert origins(spec, "model.adapter.r", "train.report_to.1", "train.report_to.0") == [
            "--set", "--set", "base.yaml:4:44",
        ]  # fmt: skip

    def test_collections_inside_collections(self, write) -> None:
        objective = "objective: {preset: reinforce, baseline: {kind: constant, value: 1}}"
        data = (
            "data: {kind: prompts, source: a/b, reward: {kind: verifier, name: length, limit: 3, weight: 2}}"
        )
        write(base=f"{objective}\nmodel: {{policy: a/b}}\n{data}\n")
        length = "{kind: verifier, name: length, limit: 5}"
        several = f"data.reward=[{{kind: verifier, name: regex, pattern: '[0-9]+'}}, {length}]"
        one, other = load("base.yaml", [several]).job.data.reward
        assert (one.pattern, other.limit, other.weight) == ("[0-9]+", 5, 1)
        http = "{kind: http, url: 'http://h:1/r'}"
        for given in ([f"data.reward={http}"], [several, f"data.reward.1={http}"]):
            reward = load("base.yaml", given).job.data.reward
            assert (reward[1] if isinstance(reward, list) else reward).url == "http://h:1/r"
        assert load("base.yaml", [several, "data.reward.1.limit=9"]).job.data.reward[1].limit == 9
        assert load("base.yaml", ["data.reward.limit=9"]).job.data.reward.weight == 2
        assert load("base.yaml", ["objective={preset: rloo}"]).preset.preset == "rloo"

    def test_terms_by_index_and_by_name(self, write) -> None:
        write(terms=BASE.replace("{preset: dpo, beta: 0.2}", "{terms: [{name: a, kind: likelihood, on: chosen}]}"),
              preset=BASE)  # fmt: skip
        spec = load("terms.yaml", ["objective.terms.0.weight=2"])
        assert (spec.job.objective.terms[0].weight, spec.job.objective.terms[0].on) == (2, "chosen")
        assert origins(spec, "objective.terms.0.weight", "objective.terms.0.on") == [
            "--set",
            "terms.yaml:1:53",
        ]
        assert load("preset.yaml", ["objective.terms.pref.weight=3"]).job.objective.terms[0].weight == 3

    def test_the_last_one_wins(self, write) -> None:
        write(base=BASE)
        assert load("base.yaml", ["train.seed=1", "train.seed=2"]).job.train.seed == 2

    @pytest.mark.parametrize(
        ("override", "code", "column"),
        [
            ("train.sed=1", "E002", 1),
            ("tarin.seed=1", "E002", 1),
            ("objective.bata=1", "E002", 1),
            ("train.seed=x", "E003", 12),
            ("train.seed=-1", "E004", 12),
            ("train.learning_rate=.nan", "E004", 21),
            ("objective.beta=0", "E004", 16),
            ("objective.preset=dppo", "E007", 18),
            ("train.seed", "E001", 1),
            ("=1", "E001", 1),
            ("train..seed=1", "E001", 1),
            ("train.seed={a", "E001", 12),
            ("train.seed=*a", "E001", 12),
            ("model={policy: a/b, policy: c/d}", "E005", 21),
        ],
    )
    def test_a_wrong_one_is_pointed_at(self, write, override: str, code: str, column: int) -> None:
        write(base=BASE)
        assert findings("base.yaml", "train.max_steps=1", override) == [(code, "--set", 2, column)]


class TestPresets:
    def test_an_axis_is_overridden_by_name(self, write) -> None:
        write(spec=BASE.replace("beta: 0.2", "terms: {pref: {link: {kind: hinge, delta: 2}}}"))
        spec = load("spec.yaml")
        (term,) = spec.job.objective.terms
        assert (term.link.kind, term.link.delta, term.score.beta) == ("hinge", 2, 0.1)
        path = "objective.terms.0"
        assert origins(spec, f"{path}.link.delta", f"{path}.score.beta") == ["spec.yaml:1:68", "preset:dpo"]

    def test_a_kind_can_change(self, write) -> None:
        write(spec=BASE.replace("beta: 0.2", "terms: {pref: {kind: likelihood, on: chosen}}"))
        (term,) = load("spec.yaml").job.objective.terms
        assert (term.name, term.kind) == ("pref", "likelihood")

    def test_terms_are_added(self, write) -> None:
        write(spec=BASE.replace("beta: 0.2", "terms: {sft: {kind: likelihood, on: chosen, weight: 0.1}}"))
        spec = load("spec.yaml")
        assert [(t.name, t.weight) for t in spec.job.objective.terms] == [("pref", 1), ("sft", 0.1)]
        assert origins(spec, "objective.terms.1.weight") == ["spec.yaml:1:78"]

    def test_a_parameter_reaches_its_term(self, write) -> None:
        write(spec=BASE)
        spec = load("spec.yaml")
        assert spec.job.objective.terms[0].score.beta == 0.2
        assert origins(spec, "objective.terms.0.score.beta") == ["spec.yaml:1:32"]

    def test_training_defaults_yield_to_the_spec(self, write) -> None:
        write(given=BASE, left=BASE.replace("learning_rate: 1.0e-5, ", ""))
        assert load("given.yaml").job.train.learning_rate == 1e-5
        left = load("left.yaml")
        assert (left.job.train.learning_rate, origins(left, "train.learning_rate")) == (1e-6, ["preset:dpo"])

    def test_a_users_own_by_path(self, write) -> None:
        write(ours=OWN, spec=BASE.replace("preset: dpo, beta: 0.2", "preset: ours.yaml, gap: 6")
                                 .replace("learning_rate: 1.0e-5, ", ""))  # fmt: skip
        spec = load("spec.yaml")
        (term,) = spec.job.objective.terms
        assert (term.margin.value, term.score.beta, spec.job.train.learning_rate) == (1.5, 0.5, 3e-6)
        term_paths = [f"objective.terms.0.{axis}" for axis in ("margin.value", "score.beta")]
        assert origins(spec, *term_paths, "train.learning_rate") == [
            "spec.yaml:1:37", "ours.yaml:10:34", "ours.yaml:13:24",
        ]  # fmt: skip

    def test_a_users_own_defaults(self, write) -> None:
        write(ours=OWN, spec=BASE.replace("preset: dpo, beta: 0.2", "preset: ours.yaml"))
        spec = load("spec.yaml")
        assert spec.job.objective.terms[0].margin.value == 0.5
        assert spec.parameters["gap"].origin.label == "ours.yaml:6:18"


class TestPaths:
    @pytest.mark.parametrize(
        ("source", "local"),
        [
            ("org/pairs", False),
            ("pairs.jsonl", True),
            ("org/pairs.parquet", True),
            ("./org/pairs", True),
            ("../pairs", True),
            ("/data/pairs", True),
            ("there/folder", True),
            ("imdb", False),
        ],
    )
    def test_hub_ids_and_paths(self, write, tmp_path: Path, source: str, local: bool) -> None:
        (tmp_path / "there" / "folder").mkdir(parents=True)
        write(spec=BASE.replace("org/pairs", source))
        expected = os.path.normpath(tmp_path / source) if local else source
        assert load("spec.yaml").job.data.source == expected

    def test_a_run_is_the_model_that_spec_writes(self, write, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "sft.yaml").write_text(BASE + "output_dir: out/sft\n")
        write(spec=BASE.replace("org/model", "{run: sub/sft.yaml}"))
        assert load("spec.yaml").job.model.policy == str(tmp_path / "out" / "sft" / "model")

    def test_output_starts_at_the_working_directory(self, write, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "spec.yaml").write_text(BASE)
        assert load("sub/spec.yaml").job.output_dir == str(tmp_path / "runs" / "spec")
        assert load("sub/spec.yaml", ["output_dir=x"]).job.output_dir == str(tmp_path / "x")

    def test_a_tokenizer_is_bytes_or_a_folder(self, write, tmp_path: Path) -> None:
        write(
            a=BASE.replace("org/model", "{init: llama}"),
            b=BASE.replace("org/model", "{init: llama, tokenizer: bpe}"),
        )
        assert load("a.yaml").job.model.policy.tokenizer == "bytes"
        assert load("b.yaml").job.model.policy.tokenizer == str(tmp_path / "bpe")


def test_every_value_of_an_example_has_an_origin() -> None:
    from alignc.load.document import leaves

    examples = Path(__file__).parents[2] / "examples"
    for path in sorted(examples.glob("*.yaml")):
        spec = load(path)
        for at, _ in leaves(spec.document.data):
            label = spec.origin(at)
            from_preset = label.startswith(("preset:", f"{examples / 'presets'}/"))
            derived = at[0] in ("name", "output_dir") or label == "default" or from_preset
            assert derived or label.startswith(f"{path}:"), at


def test_another_preset_or_kind_replaces_what_a_base_file_says(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "objective: {preset: dpo, beta: 0.5}\nmodel: {policy: a/b}\n"
        "data: {kind: pairwise, source: a/b, columns: {chosen: good}}\n"
    )
    over = tmp_path / "over.yaml"
    over.write_text("extends: base.yaml\nobjective: {preset: kto}\ndata: {kind: pointwise, source: c/d}\n")
    job = load(over).job
    assert job.objective.preset == "kto"
    assert job.objective.terms[0].score.beta == 0.1  # type: ignore[union-attr]
    assert job.data.source == "c/d"
    over.write_text("extends: base.yaml\nobjective: {beta: 0.2}\n")
    assert load(over).job.objective.terms[0].score.beta == 0.2  # type: ignore[union-attr]


def test_another_architecture_replaces_the_fields_of_the_first(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "objective: {preset: dpo}\nmodel: {policy: {init: llama, hidden_size: 16, rope_theta: 5.0}}\n"
        "data: {kind: pairwise, source: a/b}\n"
    )
    policy = load(file, ["model.policy={init: gpt2, n_embd: 8}"]).job.model.policy
    assert policy.model_dump(exclude_none=True) == {"tokenizer": "bytes", "init": "gpt2", "n_embd": 8}  # type: ignore[union-attr]
    same = load(file, ["model.policy={init: llama, hidden_size: 8}"]).document.get(("model", "policy"))
    assert (same["hidden_size"], same["rope_theta"]) == (8, 5.0)
    one = load(file, ["model.policy.init=qwen2"]).document.get(("model", "policy"))
    assert one == {"init": "qwen2", "hidden_size": 16, "rope_theta": 5.0}
