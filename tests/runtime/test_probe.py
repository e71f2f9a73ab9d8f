"""What the probe finds of models that compute otherwise than most, and that scoring follows plain transformers then."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.kernels.attention import causal_lm, use_packed
from alignc.runtime.kernels.heads import head_rule
from alignc.runtime.kernels.tiles import LogitRule
from alignc.runtime.scoring.layout import pack, pad, unpacked
from alignc.runtime.scoring.probe import Verdict, probe, probe_backbone, short_rows, use
from alignc.runtime.scoring.rewards import RewardScorer
from alignc.runtime.scoring.scorer import ReferenceModel, Scorer
from alignc.runtime.scoring.trust import trusted

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers for it
)

WORDS = 61
SMALL = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODERN = SMALL | {"layer_types": ["sliding_attention", "full_attention"], "local_attention": 8}
ENCODER = {k: v for k, v in SMALL.items() if k != "head_dim"}


def build(kind: str, *, size: float = 0.3, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
    """Build a small model; with ``size`` 0 its weights are as small as transformers draws them."""
    torch.manual_seed(0)
    fields = MODERN if kind == "modernbert-decoder" else SMALL
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(fields | changes))).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * size)
    return model.eval()


def rows(*shapes: tuple[int, ...]) -> list[Example]:
    draw = np.random.default_rng(3)
    ids = [[draw.integers(3, WORDS, n).astype(np.int32) for n in shape] for shape in shapes]
    return [Example(at, "", row[0], tuple(row[1:])) for at, row in enumerate(ids)]


PAIRS = rows((7, 5, 9), (1, 6, 1), (12, 2, 8))


def plain(model: Any, examples: list[Example], score: Any) -> torch.Tensor:
    """Score every response by itself, in the order of the rows: plain transformers, no code of ours."""
    values = []
    for row in examples:
        for response in row.responses:
            ids = torch.tensor(np.concatenate([row.prompt, response]), dtype=torch.long)[None]
            logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1]
            values.append(score(logits.log_softmax(-1), ids[0, len(row.prompt) :]))
    return torch.cat(values)


def chosen(logps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logps.gather(1, ids[:, None])[:, 0]


def entropy(logps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return -(logps.exp() * logps).sum(-1)


def log_sum_squares(logps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logps.exp().square().sum(-1).log()


def scored(model: Any, verdict: Verdict, **options: Any) -> tuple[Any, torch.Tensor]:
    use(model, verdict)
    batch = pack(PAIRS) if verdict.packed else pad(PAIRS)
    return Scorer(model, **options)(batch), batch.mask


def apart(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).detach().abs().max())


@pytest.mark.parametrize("size", [0.0, 0.3], ids=["drawn", "large"])
@pytest.mark.parametrize("kind", ["stablelm", "nemotron"])
def test_layers_that_drop_keywords_are_scored_padded_however_small_the_leak(kind: str, size: float):
    model = build(kind, size=size)
    verdict = probe(model, PAIRS)
    assert not verdict.packed
    assert "drop keywords" in verdict.notes[-1]
    found, mask = scored(model, verdict)
    assert apart(found[mask], plain(model, PAIRS, chosen)) < 5e-6


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(0.0, torch.float64), (0.0, torch.float32), (0.3, torch.float32), (0.3, torch.bfloat16)],
)
def test_a_convolution_that_reads_over_the_border_of_rows_is_found_however_small(
    size: float, dtype: torch.dtype
):
    layers = {"layer_types": ["conv", "full_attention"]}
    model = build("lfm2", size=size, dtype=dtype, **layers)
    assert not probe(model, PAIRS).packed
    assert probe(build("lfm2", size=size, dtype=dtype, layer_types=["full_attention"] * 2), PAIRS).packed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "olmoe"])
def test_experts_that_share_a_batch_are_still_packed(kind: str, dtype: torch.dtype):
    experts = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
    experts |= {"num_local_experts": 4} if kind == "mixtral" else {"num_experts": 4}
    assert probe(build(kind, dtype=dtype, **experts), PAIRS).packed


def test_the_leak_is_there_so_that_the_probe_has_something_to_find():
    model = build("nemotron")
    use_packed(model)
    batch = pack(PAIRS)
    assert apart(Scorer(model)(batch)[batch.mask], plain(model, PAIRS, chosen)) > 0.1


HEADS: dict[str, tuple[dict[str, Any], LogitRule | None]] = {
    "llama": ({}, LogitRule()),
    "cohere": ({"logit_scale": 0.3}, LogitRule(0.3)),
    "granite": ({"logits_scaling": 7.0}, LogitRule(1 / 7.0)),
    "hyperclovax": ({"logits_scaling": 0.4}, LogitRule(0.4)),
    "recurrent_gemma": ({"logits_soft_cap": 3.0, "lru_width": 16}, LogitRule(1.0, 3.0)),
    "gemma2": ({"final_logit_softcapping": 3.0, "attn_implementation": "eager"}, LogitRule(1.0, 3.0)),
    "modernbert-decoder": ({}, None),
    "bert": ({"is_decoder": True}, None),
    "roberta": ({"is_decoder": True}, None),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_is_measured_and_gives_the_numbers_and_gradients_of_the_model(kind: str):
    changes, rule = HEADS[kind]
    model = build(kind, **changes)
    verdict = probe(model, PAIRS)
    assert verdict.rule == rule
    expected = plain(model, PAIRS, chosen)
    trained = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(expected.sum(), trained, allow_unused=True)
    outputs, mask = scored(model, verdict, outputs=["entropy", "log_sum_squares"])
    assert apart(outputs["logps"][mask], expected) < 5e-6
    assert apart(outputs["entropy"][mask], plain(model, PAIRS, entropy)) < 5e-6
    assert apart(outputs["log_sum_squares"][mask], plain(model, PAIRS, log_sum_squares)) < 5e-6
    ours = torch.autograd.grad(outputs["logps"][mask].sum(), trained, allow_unused=True)
    for a, b in zip(ours, slopes, strict=True):
        if b is not None:
            assert a is not None
            assert apart(a, b) < 1e-5 * max(1.0, float(b.abs().max()))


@pytest.mark.parametrize("other", ["modernbert-decoder", "llama"])
def test_divergences_of_heads_that_tiles_cannot_follow(other: str):
    model, beside = build("modernbert-decoder"), build(other, size=0.2)
    for each in (model, beside):
        use(each, probe(each))
    batch = pack(PAIRS)
    reference = ReferenceModel(beside, Scorer(beside), nullcontext)
    found = Scorer(model, outputs=["divergence"], beside=reference)(batch)["divergence"]
    logps, others = (plain(each, PAIRS, lambda x, ids: x) for each in (model, beside))
    assert apart(found[batch.mask], (logps.exp() * (logps - others)).sum(-1)) < 5e-6


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_an_encoder_is_refused_with_the_number_that_shows_it(kind: str):
    with pytest.raises(
        Failure, match=r"a later token changes an earlier prediction by [0-9.]+ nat"
    ) as caught:
        probe(build(kind, is_decoder=False, **({"embedding_size": 16} if kind == "electra" else {})))
    assert caught.value.code == "E607"
    assert "is_decoder" in (caught.value.help or "")


@pytest.mark.parametrize("chunk", [8, 4096])
def test_masks_are_asked_about_places_that_no_short_row_reaches(chunk: int):
    model = build("llama4_text", attention_chunk_size=chunk, interleave_moe_layer_step=5, num_hidden_layers=2)
    verdict = probe(model, PAIRS)
    assert not verdict.packed
    assert "hide other tokens" in verdict.notes[-1]
    found, mask = scored(model, verdict)
    assert apart(found[mask], plain(model, PAIRS, chosen)) < 5e-6


@pytest.mark.parametrize("window", [4, 4096])
def test_a_window_is_packed(window: int):
    assert probe(build("mistral", sliding_window=window), PAIRS).packed


def test_positions_that_follow_padding_are_padded():
    verdict = probe(build("roberta", is_decoder=True), PAIRS)
    assert not verdict.packed
    assert "packed rows differ from rows alone by" in verdict.notes[-1]


def test_numbers_that_no_layout_gives_are_refused_with_both():
    model = build("llama")

    def spoil(module: Any, inputs: Any, output: Any) -> Any:
        """Let the width of the batch change what the model says, as no padding mask should."""
        output.last_hidden_state = output.last_hidden_state * (1 + 0.1 * (len(output.last_hidden_state) - 1))
        return output

    model.model.register_forward_hook(spoil)
    with pytest.raises(
        Failure, match=r"the log-probability -[0-9.]+ alone, and -[0-9.]+ in a batch"
    ) as caught:
        probe(model, PAIRS)
    assert caught.value.code == "E607"
    assert caught.value.help


def test_an_adapter_and_half_precision_are_probed_as_they_are():
    peft = pytest.importorskip("peft")
    model = build("llama", dtype=torch.bfloat16)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear"))
    assert probe(adapted, PAIRS) == Verdict(True, LogitRule())
    covered = peft.get_peft_model(
        build("llama"), peft.LoraConfig(r=2, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    )
    verdict = probe(covered, PAIRS)
    assert verdict.rule is None
    found, mask = scored(covered, verdict)
    assert apart(found[mask], plain(covered, PAIRS, chosen)) < 5e-6


def test_a_model_that_reads_no_stream_takes_a_packed_batch_padded():
    batch, padded = pack(PAIRS), pad(PAIRS)
    again = unpacked(batch)
    assert torch.equal(again.input_ids, padded.input_ids)
    assert torch.equal(again.score_at, padded.score_at)
    assert again.attention_mask is not None
    assert torch.equal(again.attention_mask, padded.attention_mask)
    model = build("nemotron")
    assert apart(Scorer(model)(batch)[batch.mask], plain(model, PAIRS, chosen)) < 5e-6


def scalar(kind: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SMALL, num_labels=1)
    model = AutoModelForSequenceClassification.from_config(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.mark.parametrize(("kind", "packed"), [("llama", True), ("stablelm", False), ("nemotron", False)])
def test_a_reward_model_is_probed_too(kind: str, packed: bool):
    model = scalar(kind)
    verdict = probe_backbone(model, PAIRS)
    assert verdict.packed == packed
    use(model, verdict, scalar=True)
    ended = [
        Example(e.row, e.origin, e.prompt, tuple(np.append(r, r[-1]).astype(np.int32) for r in e.responses))
        for e in PAIRS
    ]
    found = RewardScorer(model)(pack(ended))["score"]
    for row, example in enumerate(PAIRS):
        for place, response in enumerate(example.responses):
            ids = torch.tensor(np.concatenate([example.prompt, response]), dtype=torch.long)[None]
            with torch.no_grad():
                assert abs(float(model(input_ids=ids).logits[0, 0]) - float(found[row, place])) < 5e-6


def test_short_rows_hold_a_shared_prompt_and_another_row_within_few_positions():
    config = build("llama", max_position_embeddings=8).config
    for examples in ([], PAIRS[:1], PAIRS, rows((40, 30))):
        short = short_rows(examples, config)
        assert [len(e.responses) for e in short] == [2, 2]
        assert all(1 <= len(e.prompt) <= 4 for e in short)
        assert all(len(e.prompt) + len(r) <= 8 for e in short for r in e.responses)


def test_ids_beyond_the_vocabulary_are_none_of_the_probes():
    beyond = [Example(0, "", np.array([WORDS + 3]), (np.array([4, 5]),))]
    assert all(int(e.prompt.max()) < WORDS for e in short_rows(beyond, build("llama").config))


def test_a_verdict_is_kept_by_kind_and_a_torn_one_is_made_again(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path))
    first = trusted(build("nemotron"), PAIRS)
    [file] = (tmp_path / "probes").iterdir()
    assert json.loads(file.read_text())["packed"] is False
    changed = json.loads(file.read_text()) | {"notes": ["read from the disk"]}
    file.write_text(json.dumps(changed))
    assert trusted(build("nemotron")).notes == ("read from the disk",)
    assert trusted(build("nemotron", size=0.0), PAIRS).notes == first.notes
    assert trusted(build("nemotron", num_hidden_layers=1), PAIRS).notes == first.notes
    file.write_text("{")
    assert trusted(build("nemotron"), PAIRS) == first


def test_the_head_of_a_model_is_measured_once():
    model = build("recurrent_gemma", logits_soft_cap=3.0, lru_width=16)
    assert head_rule(causal_lm(model)) is head_rule(causal_lm(model))
