"""A model that lacks embeddings or positions is refused before its first step."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from alignc.contract.failure import Failure
from alignc.runtime.models.reach import check_reach

GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32, "vocab_size": 20}
OPT = {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 16, "num_hidden_layers": 1}
OPT |= {"num_attention_heads": 2, "max_position_embeddings": 32, "vocab_size": 20, "pad_token_id": 0}
LLAMA = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
LLAMA |= {"max_position_embeddings": 32, "vocab_size": 20}


class Words:
    """A tokenizer of so many words."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_vocab(self) -> dict[str, int]:
        return {str(n): n for n in range(self.count)}


def model(kind: str, fields: dict[str, Any], *, scalar: bool = False) -> Any:
    config = AutoConfig.for_model(kind, **fields)
    kinds = AutoModelForSequenceClassification if scalar else AutoModelForCausalLM
    return kinds.from_config(config)


@pytest.mark.parametrize(
    ("kind", "fields", "learned"), [("gpt2", GPT2, True), ("opt", OPT, True), ("llama", LLAMA, False)]
)
@pytest.mark.parametrize("scalar", [False, True])
def test_embeddings_and_positions(kind: str, fields: dict[str, Any], learned: bool, scalar: bool):
    made = model(kind, fields, scalar=scalar)
    check_reach(made, Words(20), 32)
    with pytest.raises(Failure, match=r"ids up to 20, but .* has 20 embeddings") as caught:
        check_reach(made, Words(21), 32)
    assert (caught.value.code, caught.value.exit_code) == ("E615", 1)
    if learned:
        with pytest.raises(Failure, match=r"`train.max_length` is 33, but .* has 32 learned positions"):
            check_reach(made, Words(20), 33)
    else:
        check_reach(made, Words(20), 33)
