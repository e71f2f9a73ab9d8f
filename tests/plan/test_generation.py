"""What plan and explain show of the folder of a policy: where responses end, and which settings are not used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignc.api import explain
from alignc.contract.generation import carried
from alignc.explain.show import show
from alignc.plan.generation import generation_lines

from ..runtime.chat_models import FAMILIES, save_chat_model

ONLINE: dict[str, Any] = {"kind": "prompts"}
CARRIED = {"do_sample": True, "top_k": 20, "top_p": 0.8, "temperature": 0.7, "repetition_penalty": 1.5}
CARRIED |= {"min_p": 0.05, "bad_words_ids": [[7]], "no_repeat_ngram_size": 2}


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gemma")
    save_chat_model(FAMILIES["gemma"], folder, **CARRIED)
    return folder


def test_every_setting_of_the_file_is_named(gemma: Path):
    """All that `save_pretrained` wrote, but for ids and for what changes no sample."""
    file = json.loads((gemma / "generation_config.json").read_text())
    ends, settings = generation_lines(str(gemma), ONLINE)
    assert ends == "a response ends with <eos> or <end_of_turn>"
    assert CARRIED.items() <= file.items()
    for name, value in CARRIED.items():
        assert f"{name} {json.dumps(value)}" in settings
    assert "transformers_version" not in settings
    assert "token_id" not in settings


def test_given_rows_are_told_what_is_added(gemma: Path):
    ends, settings = generation_lines(str(gemma), {"kind": "pairwise"})
    assert ends == "a completion ends with <eos> or <end_of_turn>; <eos> is added where there is no end"
    assert settings.endswith("; training samples nothing")


def test_an_adapter_shows_its_base_and_a_made_model_its_tokenizer(gemma: Path, tmp_path: Path):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((gemma / file).read_bytes())
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(gemma)}))
    whole = generation_lines(str(gemma), ONLINE)
    assert generation_lines(str(tmp_path), ONLINE) == whole
    assert generation_lines({"init": "llama", "tokenizer": str(gemma)}, ONLINE) == whole


@pytest.mark.parametrize("policy", ["a/b", "/no/such/folder", {"init": "llama", "tokenizer": "bytes"}])
def test_without_a_folder_nothing_is_said(policy: Any):
    assert generation_lines(policy, ONLINE) == ()


def test_a_file_that_is_no_json_says_nothing(tmp_path: Path):
    (tmp_path / "generation_config.json").write_text("{")
    (tmp_path / "config.json").write_text('["eos_token_id"]')
    assert generation_lines(str(tmp_path), ONLINE) == ()


def test_a_template_with_a_clock_is_told(gemma: Path, tmp_path: Path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ strftime_now('%d') }}")
    given = {**ONLINE, "chat_template": str(template)}
    assert generation_lines(str(gemma), given)[-1] == (
        "the chat template may write the date: that on which the run begins"
    )
    dated = {**given, "chat_template_date": "2026-01-02"}
    assert generation_lines(str(gemma), dated)[-1] == "the chat template may write the date: 2026-01-02"


def test_null_changes_nothing():
    assert carried({"top_k": None, "eos_token_id": [1], "use_cache": True, "_from_model_config": True}) == {}


def test_explain_shows_it(gemma: Path, tmp_path: Path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"objective: {{preset: rloo}}\nmodel: {{policy: {gemma}}}\ndata: {{kind: prompts, source: x/y, "
        "completions_per_prompt: 4, stop: ['Q:', \"\\n\\n\"], reward: {kind: verifier, name: exact_number}}\n"
    )
    text = show(explain(spec))
    assert "a response ends with <eos> or <end_of_turn>" in text
    assert "repetition_penalty 1.5" in text
    assert 'the token that completes "Q:" or "\\n\\n"' in text
