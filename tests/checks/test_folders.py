"""What a folder says of its model: embeddings for every token, positions for every row, before anything is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from alignc.api import lowered, validate
from alignc.load.folder import facts_of

SPEC = """\
objective: {{preset: dpo}}
model: {{policy: ./policy{more}}}
data: {{kind: pairwise, source: a/b}}
train: {{{train}}}
"""


def write_model(
    folder: Path, vocabulary: int, tokens: int, weights: dict[str, list[int]], **config: Any
) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"vocab_size": vocabulary, **config}))
    words = {f"w{n}": n for n in range(tokens - 1)}
    added = [{"id": tokens - 1, "content": "<end>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}, "added_tokens": added}))
    entries = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in weights.items()
    }
    header = json.dumps(entries).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def found(folder: Path, train: str = "", more: str = "") -> list[tuple[str, str, int]]:
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.format(train=train, more=more))
    return [(d.code, d.message, d.span.line) for d in validate(spec).diagnostics]


GPT2 = {"model_type": "gpt2", "n_positions": 32}
LEARNED = {"transformer.wpe.weight": [32, 8]}
OPT = {"model.decoder.embed_positions.weight": [34, 8]}
ROTARY = {"model.embed_tokens.weight": [50, 8]}


@pytest.mark.parametrize(("tokens", "codes"), [(50, []), (51, ["E615"]), (49, [])])
def test_tokens_beyond_the_embedding(tmp_path: Path, tokens: int, codes: list[str]):
    write_model(tmp_path / "policy", 50, tokens, ROTARY)
    said = found(tmp_path)
    assert [code for code, _, _ in said] == codes
    assert all(
        "ids up to 50, but the policy has 50 embeddings" in text and line == 2 for _, text, line in said
    )


def test_a_reference_reads_the_tokens_of_the_policy(tmp_path: Path):
    write_model(tmp_path / "policy", 50, 50, ROTARY)
    write_model(tmp_path / "other", 40, 40, ROTARY)
    [(code, text, line)] = found(tmp_path, more=", reference: {kind: path, path: ./other}")
    assert (code, line) == ("E615", 2)
    assert text == "the tokenizer gives ids up to 49, but the reference has 40 embeddings"


@pytest.mark.parametrize(
    ("weights", "config", "limit"),
    [
        (LEARNED, GPT2, 32),
        (OPT, {"max_position_embeddings": 32}, 32),
        (ROTARY, {"max_position_embeddings": 32}, 1024),
        ({"vision.position_embedding.weight": [729, 8]}, {"max_position_embeddings": 32}, 1024),
    ],
)
def test_learned_positions_end_rows(tmp_path: Path, weights: Any, config: Any, limit: int):
    write_model(tmp_path / "policy", 50, 50, weights, **config)
    assert found(tmp_path, "max_length: 32") == []
    codes = [code for code, _, _ in found(tmp_path, "max_length: 33")]
    assert codes == (["E004"] if limit == 32 else [])
    assert found(tmp_path) == []  # the default gives way
    job = json.loads(lowered(tmp_path / "spec.yaml", files=False).folder().files["job.json"])
    assert job["spec"]["train"]["max_length"] == limit


def test_an_adapter_has_the_facts_of_its_base(tmp_path: Path):
    write_model(tmp_path / "base", 50, 50, LEARNED, **GPT2)
    (tmp_path / "policy").mkdir()
    config = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "policy" / "adapter_config.json").write_text(json.dumps(config))
    facts = facts_of(tmp_path / "policy")
    assert facts is not None
    assert (facts.vocabulary, facts.tokens, facts.positions) == (50, 50, 32)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"model": 3, "added_tokens": {"a": 1}}', '{"model": {"vocab": 7}}']
)
def test_a_broken_tokenizer_is_no_crash(tmp_path: Path, text: str):
    write_model(tmp_path / "policy", 50, 50, LEARNED)
    (tmp_path / "policy" / "tokenizer.json").write_text(text)
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"\xff" * 20)
    assert found(tmp_path) == []
