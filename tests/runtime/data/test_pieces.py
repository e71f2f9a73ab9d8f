"""Pieces give the tokenizer's own ids, on text that is made to mislead them."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from alignc.runtime.data.pieces import encoder_of, splits_at_spaces, whole_texts

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
END = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{END}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{END}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ATOMS = [
    *"ab Z19.,'\"/-=<>#$\n\t\r",
    *(
        " the",
        " it's",
        "don't",
        "  ",
        "\n\n",
        "é",
        "中",
        "\u0301",
        "\u2028",
        "\u00a0",
        "🙂",
        "٣",
        " - ",
        "'LL",
    ),
    *("<|im_start|>", "<|im_end|>", " New York", "1,000.5", "https://a.b/c ", "```py\n"),
]


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(ATOMS, k=draw.randrange(25))) for _ in range(count)]


def bpe(pattern: str | None, *, nfc: bool = False, prefix: bool = False, before: Any = ()) -> Any:
    tokenizer = Tokenizer(models.BPE())
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    split = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=not pattern)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, *split, byte_level])
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(1000, 1), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")


@pytest.mark.parametrize(
    "tokenizer",
    [
        pytest.param(lambda: bpe(None), id="byte level"),
        pytest.param(lambda: bpe(None, before=[pre_tokenizers.Digits(individual_digits=True)]), id="digits"),
        pytest.param(lambda: bpe(GPT2, nfc=True), id="gpt2, nfc"),
        pytest.param(lambda: bpe(LLAMA3), id="llama 3"),
        pytest.param(lambda: bpe(QWEN, nfc=True), id="qwen"),
        pytest.param(lambda: bpe(O200K), id="o200k"),
    ],
)
def test_pieces_give_the_ids_of_whole_texts(tokenizer: Any) -> None:
    made = tokenizer()
    assert splits_at_spaces(made)
    encode = encoder_of(made)
    for seed in (2, 3):
        some = texts(800, seed)
        some += [first + second for first, second in pairwise(some)]
        assert encode(some) == whole_texts(made)(some)


def test_a_text_that_goes_on_from_the_one_before_it_has_its_own_ids() -> None:
    tokenizer = bpe(LLAMA3)
    encode, whole = encoder_of(tokenizer), whole_texts(tokenizer)
    draw = random.Random(7)
    some: list[str] = []
    for first, second, third in zip(texts(800, 8), texts(800, 9), texts(800, 10), strict=True):
        cut = draw.randrange(len(first) + 1)
        some += [first[:cut], first[:cut] + second, first[:cut] + third, first]
    assert encode(some) == whole(some)


@pytest.mark.parametrize(
    "tokenizer",
    [
        pytest.param(lambda: bpe(None, prefix=True), id="a space before every text"),
        pytest.param(lambda: bpe(r"\S+ \S+|\s+|\S+"), id="words in pairs"),
    ],
)
def test_a_tokenizer_that_joins_words_is_left_alone(tokenizer: Any) -> None:
    made = tokenizer()
    assert not splits_at_spaces(made)
    some = texts(500, 3)
    assert encoder_of(made)(some) == whole_texts(made)(some)


@pytest.mark.parametrize(
    "added", [AddedToken("<x>", rstrip=True), AddedToken("<y>", lstrip=True), AddedToken("a b")]
)
def test_an_added_token_that_takes_spaces_is_left_alone(added: AddedToken) -> None:
    tokenizer = bpe(GPT2)
    tokenizer.add_tokens([added])
    assert not splits_at_spaces(tokenizer)


def test_tokenizers_of_other_kinds_are_left_alone(byte_tokenizer: Any) -> None:
    assert not splits_at_spaces(byte_tokenizer)
    assert encoder_of(byte_tokenizer)(["ab", ""]) == [[100, 101], []]
