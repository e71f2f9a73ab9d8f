"""Tiny chat models of six families: templates in the shape of the public ones, and the ends that their files name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

__all__ = ["FAMILIES", "Family", "save_chat_model"]

WORDS = [
    "what is two plus two",
    "the sky is blue and the grass is green",
    "0 1 2 3 4 5 6 7 8 9",
    "user assistant",
]


@dataclass(frozen=True)
class Family:
    """A template with its special tokens: ``ends`` by the tokenizer, `config.json` and `generation_config.json`.

    ``asked`` and ``answered`` are what is written for the question "what is two plus two" and the answer "4".
    """

    kind: str
    template: str
    special: tuple[str, ...]
    eos: str
    config_ends: tuple[str, ...]
    generation_ends: tuple[str, ...]
    asked: str
    answered: str
    bos: str | None = None
    pad: str | None = None
    added: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> set[str]:
        """The tokens that end a response."""
        return {self.eos, *self.config_ends, *self.generation_ends}


_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\\n' + m.content }}<|im_end|>{{ '\\n' }}{% endfor %}"
)
_THOUGHT = (
    "{% for m in messages %}<|im_start|>{{ m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}"
    "{{ '<think>\\n' + m.reasoning_content | default('') + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ m.content }}<|im_end|>{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
QUESTION = "what is two plus two"

FAMILIES = {
    "chatml": Family(
        kind="qwen2",
        template=_TURNS + "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}",
        special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        eos="<|im_end|>",
        pad="<|endoftext|>",
        config_ends=("<|im_end|>",),
        generation_ends=("<|im_end|>", "<|endoftext|>"),
        asked=f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
        answered="4<|im_end|>",
    ),
    "llama3": Family(
        kind="llama",
        template=(
            "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ '\\n\\n' }}"
            "{{ m.content | trim }}<|eot_id|>{% endfor %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}"
        ),
        special=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eom_id|>",
            "<|eot_id|>",
        ),
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        config_ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        generation_ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        asked=f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{QUESTION}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        answered="4<|eot_id|>",
    ),
    "qwen3": Family(
        kind="qwen3",
        template=_THOUGHT,
        special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        added=("<think>", "</think>"),
        eos="<|im_end|>",
        pad="<|endoftext|>",
        config_ends=("<|im_end|>",),
        generation_ends=("<|im_end|>", "<|endoftext|>"),
        asked=f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
        answered="<think>\n\n</think>\n\n4<|im_end|>",
    ),
    "gemma": Family(
        kind="gemma3_text",
        template=(
            "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
            "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}{{ '\\n' }}"
            "{{ m.content | trim }}<end_of_turn>{{ '\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}<start_of_turn>model{{ '\\n' }}{% endif %}"
        ),
        special=("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        config_ends=("<eos>",),
        generation_ends=("<eos>", "<end_of_turn>"),
        asked=f"<bos><start_of_turn>user\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
        answered="4<end_of_turn>",
        config={"head_dim": 16},
    ),
    "mistral": Family(
        kind="mistral",
        template=(
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
            "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
        ),
        special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        bos="<s>",
        eos="</s>",
        config_ends=("</s>",),
        generation_ends=("</s>",),
        asked=f"<s>[INST] {QUESTION}[/INST]",
        answered=" 4</s>",
    ),
    "phi": Family(
        kind="phi3",
        template=(
            "{% for m in messages %}<|{{ m.role }}|>{{ '\\n' + m.content }}<|end|>{{ '\\n' }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{{ '\\n' }}{% else %}{{ eos_token }}{% endif %}"
        ),
        special=("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        config_ends=("<|endoftext|>",),
        generation_ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
        asked=f"<|user|>\n{QUESTION}<|end|>\n<|assistant|>\n",
        answered="4<|end|>",
    ),
}


def save_chat_model(family: Family, folder: Path, **generation: Any) -> Any:
    """Write a model with random weights and its tokenizer; ``generation`` goes to `generation_config.json`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = _tokenizer(family)
    ids = {text: tokenizer.convert_tokens_to_ids(text) for text in family.ends}
    config = AutoConfig.for_model(
        family.kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=_one_or_list([ids[text] for text in family.config_ends]),
        pad_token_id=tokenizer.pad_token_id,
        **family.config,
    )
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.update(
        eos_token_id=_one_or_list([ids[text] for text in family.generation_ends]), **generation
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def _one_or_list(ids: list[int]) -> int | list[int]:
    return ids[0] if len(ids) == 1 else ids


def _tokenizer(family: Family) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=list(family.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(WORDS * 20, trainer)
    if family.bos:
        pair = [(family.bos, made.token_to_id(family.bos))]
        made.post_processor = processors.TemplateProcessing(single=f"{family.bos} $A", special_tokens=pair)
    names = {"bos_token": family.bos, "eos_token": family.eos, "pad_token": family.pad}
    given = {name: text for name, text in names.items() if text}
    rest = [text for text in family.special if text not in given.values()]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, additional_special_tokens=rest, **given)
    tokenizer.add_tokens(list(family.added))
    tokenizer.chat_template = family.template
    return tokenizer
