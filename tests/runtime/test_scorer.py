"""Packed equals padded equals each sequence alone through the plain model: values and every gradient."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from alignc.runtime.data.example import Example
from alignc.runtime.kernels.attention import takes_packed, use_packed
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.scorer import Scorer

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft

VOCABULARY = 61
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = {"sliding_window": 4}
ARCHITECTURES = {
    "llama": SMALL,
    "qwen2": SMALL | {"tie_word_embeddings": True},
    "qwen3": SMALL | {"head_dim": 8, "num_key_value_heads": 1},
    "mistral": SMALL | WINDOW,
    "gemma3_text": SMALL | WINDOW | {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": SMALL | {"num_key_value_heads": 4},
    "cohere": SMALL | {"logit_scale": 0.25},
    "granite": SMALL | {"logits_scaling": 4.0},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
KEYS_OF_DROPOUT = ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop")


def build(kind, dtype=torch.float64, **changes):
    """Build a small random model; its weights are large enough that a wrong mask is plain to see."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(ARCHITECTURES.get(kind, SMALL) | changes))
    for key in KEYS_OF_DROPOUT:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return _exact_norms(model) if dtype == torch.float64 else model


def _exact_norms(model):
    """Swap norms that compute in float32 inside for torch's own, so that float64 is float64 throughout."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__.endswith("RMSNorm") and hasattr(child, "variance_epsilon"):
                norm = torch.nn.RMSNorm(child.weight.shape, child.variance_epsilon, dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)
    return model


def tolerance(kind):
    return 5e-6 if kind in {"gemma3_text", "gemma2", "cohere"} else 1e-10  # their norms compute in float32


def examples(*shapes, seed=0):
    """Draw rows of token ids: each shape is (prompt, response, response, …) in tokens."""
    draw = np.random.default_rng(seed)
    rows = [[draw.integers(3, VOCABULARY, n).astype(np.int32) for n in shape] for shape in shapes]
    return [Example(i, f"rows:{i}", row[0], tuple(row[1:])) for i, row in enumerate(rows)]


PAIRS = examples((7, 5, 9), (1, 6, 1), (12, 2, 8))
GROUPS = examples((3, 4, 1, 6), (5, 7), (2, 3, 3))
SINGLES = examples((6, 5), (1, 1), (4, 9))


def alone(model, rows):
    """Score each response by itself: the plain forward, a log-softmax over all logits, shifted targets."""
    width, longest = max(len(r.responses) for r in rows), max(len(x) for r in rows for x in r.responses)
    answers = []
    for row in rows:
        for response in row.responses:
            ids = torch.tensor(np.concatenate([row.prompt, response]), dtype=torch.long)[None]
            logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1]
            logps = logits.log_softmax(-1).gather(1, ids[0, len(row.prompt) :, None])[:, 0]
            answers.append(torch.nn.functional.pad(logps, (0, longest - len(response))))
        answers += [torch.zeros(longest, dtype=logps.dtype)] * (width - len(row.responses))
    return torch.stack(answers).view(len(rows), width, longest)


def measure(model, logps):
    """Return the log-probabilities and every gradient of a loss in which each token weighs differently."""
    model.zero_grad()
    weights = torch.linspace(0.5, 1.5, logps.numel(), dtype=logps.dtype).view_as(logps)
    (logps * weights).sum().backward()
    return [logps.detach()] + [p.grad.clone() for p in model.parameters()]


def distance(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("rows", [PAIRS, GROUPS, SINGLES], ids=["pairs", "groups", "singles"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_packed_equals_padded_equals_alone(kind, rows):
    model = build(kind)
    expected = measure(model, alone(model, rows))
    scorer = Scorer(model)
    padded = measure(model, scorer(pad(rows)))
    assert takes_packed(model)
    use_packed(model)
    packed = measure(model, scorer(pack(rows)))
    assert distance(padded, expected) < tolerance(kind)
    assert distance(packed, expected) < tolerance(kind)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_float32_agrees_to_its_precision(kind):
    model = build(kind, torch.float32)
    expected = measure(model, alone(model, PAIRS))
    use_packed(model)
    found = measure(model, Scorer(model)(pack(PAIRS)))
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * max(1, theirs.abs().max())


def _sees_the_other_response(batch):
    merged = tuple((prompt, sum(responses)) for prompt, *responses in batch.segments)
    return replace(batch, segments=merged)


def _positions_run_on(batch):
    return replace(batch, position_ids=torch.arange(batch.position_ids.numel())[None])


def _first_token_from_the_stream(batch):
    """Predict a second response's first token from whatever stands before it in the stream."""
    score_at, slots = batch.score_at.clone(), batch.slots.tolist()
    longest = batch.mask.shape[2]
    for place, slot in enumerate(slots):
        if slot % longest == 0 and slot // longest % batch.mask.shape[1] == 1:
            score_at[place] = score_at[place - 1]
    return replace(batch, score_at=score_at)


def _prompt_unseen(batch):
    return replace(batch, segments=tuple((n,) for row in batch.segments for n in row if n))


WRONG = [_sees_the_other_response, _positions_run_on, _first_token_from_the_stream, _prompt_unseen]


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_wrong_layout_is_plain_to_see(kind, spoil):
    model = build(kind)
    use_packed(model)
    scorer, batch = Scorer(model), pack(PAIRS)
    assert (scorer(spoil(batch)) - scorer(batch)).abs().max() > 0.1


def test_a_window_that_is_not_honoured_is_plain_to_see():
    narrow, wide = build("mistral"), build("mistral", sliding_window=None)
    for model in (narrow, wide):
        use_packed(model)
    assert (Scorer(narrow)(pack(PAIRS)) - Scorer(wide)(pack(PAIRS))).abs().max() > 0.1


def test_a_prompt_is_laid_out_once_and_last_tokens_are_no_inputs():
    batch = pack(PAIRS)
    assert batch.segments == ((7, 4, 8), (1, 5, 0), (12, 1, 7))
    assert batch.input_ids.shape == (1, 19 + 6 + 20)
    assert batch.position_ids[0, :19].tolist() == [*range(7), 7, 8, 9, 10, *range(7, 15)]
    assert batch.score_at[:14].tolist() == [6, 7, 8, 9, 10, 6, *range(11, 19)]
    assert batch.targets[:5].tolist() == PAIRS[0].responses[0].tolist()
    assert batch.mask.shape == (3, 2, 9)
    assert batch.mask.sum(-1).tolist() == [[5, 9], [6, 1], [2, 8]]


def test_padding_stands_on_the_right_and_is_masked():
    batch = pad(PAIRS, pad_id=0)
    assert batch.input_ids.shape == (6, 12 + 7)
    assert batch.attention_mask.sum(1).tolist() == [11, 15, 6, 1, 13, 19]
    assert (batch.input_ids[batch.attention_mask == 0] == 0).all()
    assert batch.score_at[:5].tolist() == [6, 7, 8, 9, 10]
    assert batch.score_at[5:14].tolist() == [19 + n for n in range(6, 15)]


@pytest.mark.parametrize("lay_out", [pack, pad])
def test_a_batch_moves_whole(lay_out):
    moved = lay_out(PAIRS).to("meta")
    tensors = [x for x in vars(moved).values() if isinstance(x, torch.Tensor)]
    assert len(tensors) == 6
    assert {x.device.type for x in tensors} == {"meta"}


def test_what_is_not_there_is_zero():
    model = build("llama")
    use_packed(model)
    answer, batch = Scorer(model)(pack(GROUPS)), pack(GROUPS)
    assert (answer[~batch.mask] == 0).all()
    assert (answer[batch.mask] < 0).all()


def test_the_dtype_of_the_answer_is_float32_for_bfloat16():
    model = build("llama", torch.bfloat16)
    use_packed(model)
    answer = Scorer(model)(pack(PAIRS))
    answer.sum().backward()
    assert answer.dtype == torch.float32
    assert {p.grad.dtype for p in model.parameters()} == {torch.bfloat16}


def test_activation_checkpointing_changes_nothing():
    model = build("llama")
    use_packed(model)
    scorer = Scorer(model).train()
    expected = measure(model, scorer(pack(PAIRS)))
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert distance(measure(model, scorer(pack(PAIRS))), expected) < 1e-12


def test_the_model_still_makes_logits_and_generates():
    model = build("mistral").eval()
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9], [0, 0, 3, 4, 5, 6, 7]])
    options = {
        "attention_mask": (ids != 0).long(),
        "max_new_tokens": 5,
        "do_sample": False,
        "pad_token_id": 0,
    }
    logits, generated = model(ids[:1]).logits, model.generate(ids, **options)
    scorer = Scorer(model)
    use_packed(model)
    torch.testing.assert_close(scorer.model(ids[:1]).logits, logits)
    assert torch.equal(scorer.model.generate(ids, **options), generated)


def test_a_copy_scores_with_its_own_head_and_the_saved_model_is_plain(tmp_path):
    model = build("llama", torch.float32)
    use_packed(model)
    scorer = Scorer(model)
    before, twin = scorer(pack(PAIRS)).detach(), copy.deepcopy(scorer)
    with torch.no_grad():
        twin.model.lm_head.weight.mul_(0)
    torch.testing.assert_close(scorer(pack(PAIRS)), before)
    assert (twin(pack(PAIRS)) - before).abs().max() > 0.1
    scorer.model.save_pretrained(tmp_path)
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert read.config._attn_implementation == "sdpa"
    torch.testing.assert_close(alone(read, PAIRS), before)


def _lora(model, **options):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=4, **options))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.3)
    return adapted


def test_an_adapter_is_scored_trained_and_switched_off():
    model = build("llama")
    reference = alone(model, PAIRS).detach()
    adapted = _lora(model, target_modules="all-linear")
    expected = alone(adapted, PAIRS)
    use_packed(adapted)
    scorer = Scorer(adapted)
    answer = scorer(pack(PAIRS))
    trained = [p for p in adapted.parameters() if p.requires_grad]
    assert trained
    torch.testing.assert_close(answer, expected)
    for ours, theirs in zip(
        torch.autograd.grad(answer.sum(), trained), torch.autograd.grad(expected.sum(), trained), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad(), adapted.disable_adapter():
        torch.testing.assert_close(scorer(pack(PAIRS)), reference)


def test_a_head_that_an_adapter_covers_is_asked_itself():
    adapted = _lora(build("llama"), target_modules=["q_proj", "lm_head"])
    expected = measure_trained(adapted, alone(adapted, PAIRS))
    use_packed(adapted)
    assert distance(measure_trained(adapted, Scorer(adapted)(pack(PAIRS))), expected) < 1e-10


def measure_trained(model, logps):
    """Return the log-probabilities and the gradients of what is trained."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [logps.detach(), *torch.autograd.grad(logps.sum(), trained)]


def test_capped_logits_are_scored_padded():
    model = build("gemma2", head_dim=8, final_logit_softcapping=3.0, attn_implementation="eager")
    expected = measure(model, alone(model, PAIRS))
    assert distance(measure(model, Scorer(model)(pad(PAIRS))), expected) < tolerance("gemma2")
