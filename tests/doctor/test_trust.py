"""`alignc doctor SPEC` and `alignc data SPEC` probe a local policy as a run does before its first step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from alignc.api import lowered
from alignc.cli import main
from alignc.doctor.trust import finding, probed

SMALL = {"vocab_size": 384, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
SMALL |= {
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 1,
}


def write_spec(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL)).save_pretrained(folder / "policy")
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(
        models.BPE({word: place for place, word in enumerate(["<pad>", "<end>", *words])}, [])
    )
    letters.pre_tokenizer, letters.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<end>", pad_token="<pad>").save_pretrained(
        folder / "policy"
    )
    row = {"prompt": "1+2=", "chosen": "3", "rejected": "4"}
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    spec = folder / "spec.yaml"
    spec.write_text(
        "objective: {preset: dpo}\nmodel: {policy: ./policy}\ndata: {kind: pairwise, source: rows.jsonl}\n"
        "train: {max_length: 32}\n"
    )
    return spec


@pytest.mark.parametrize(
    ("kind", "state", "said"),
    [
        ("nemotron", "ok", "NemotronForCausalLM: rows are padded: its layers drop keywords"),
        ("bert", "lacks", "BertLMHeadModel is no causal language model here"),
    ],
)
def test_a_local_policy_is_probed(tmp_path: Path, kind: str, state: str, said: str):
    spec = write_spec(tmp_path, kind)
    [found] = probed("spec", lowered(spec).folder().files["job.json"], str(tmp_path / "policy"))
    assert (found.name, found.state) == ("probe", state)
    assert found.found.startswith(said)
    assert (found.help is None) == (state == "ok")


def test_data_tells_of_a_policy_that_no_run_would_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["alignc", "data", str(write_spec(tmp_path, "bert"))])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "BertLMHeadModel is no causal language model here" in capsys.readouterr().out


@pytest.mark.parametrize("policy", [{"init": "llama"}, "org/model", "/not/there"])
def test_other_policies_are_not_loaded(policy: object):
    assert list(probed("spec", "{}", policy)) == []


def test_an_ordinary_model_is_told_in_one_line():
    answer = {"model": "M", "layout": "packed", "head": {}, "notes": []}
    assert finding("spec", answer).found == "M: packed rows give the model's own numbers"
