"""Strings that end a response, across the borders of tokens; the answers that come of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from alignc.runtime.data.prompts import Prompt
from alignc.runtime.rollout.answers import with_text
from alignc.runtime.samplers.sample import sample
from alignc.runtime.samplers.sampling import Sampling
from alignc.runtime.samplers.stops import Stops, stops_of

from ..chat_models import FAMILIES, save_chat_model

TEXT = "Answer: 4 é is the sky\n\nQ: what is two"


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chatml")
    return save_chat_model(FAMILIES["chatml"], folder), AutoTokenizer.from_pretrained(folder)


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
@pytest.mark.parametrize("string", ["\n\nQ:", "é", "the", "e s", "wo", "A", "what is two"])
def test_a_text_ends_after_the_token_that_completes_a_string(kind: str, string: str, chatml: tuple[Any, Any]):
    """Where the string ends in the text, whatever tokens it lies in: the first count of tokens whose text has it."""
    tokenizer = ByT5Tokenizer() if kind == "bytes" else chatml[1]
    ids = tokens_of(tokenizer, TEXT)
    texts = [tokenizer.decode(ids[:count]) for count in range(len(ids) + 1)]
    expected = next(count for count, text in enumerate(texts) if string in text)
    stops = stops_of([string], tokenizer)
    assert stops is not None
    assert stops.end(ids) == expected
    assert [stops.completed(ids[:count]) for count in range(1, expected + 1)] == [False] * (expected - 1) + [
        True
    ]


def test_a_string_over_many_tokens_is_found_at_the_end_of_a_long_text(chatml: tuple[Any, Any]):
    string = "zq" * 40 + "😀"
    ids = tokens_of(chatml[1], "the sky " * 200 + string + " on")
    stops = stops_of([string], chatml[1])
    assert stops is not None
    end = stops.end(ids)
    assert chatml[1].decode(ids[:end]).endswith(string)


def test_a_special_token_may_be_named(chatml: tuple[Any, Any]):
    ids = tokens_of(chatml[1], "4<|im_start|>user")
    stops = stops_of(["<|im_start|>"], chatml[1])
    assert stops is not None
    assert stops.end(ids) == 2


def test_no_strings_are_no_stops():
    assert stops_of([], None) is None


def prompt() -> Any:
    return np.array([260, 261, 262], np.int32)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_sampled_responses_end_with_the_string_and_keep_their_tokens(
    temperature: float, chatml: tuple[Any, Any]
):
    """With a string, each response is the beginning of the one without, up to the token that completes the string."""
    model, tokenizer = chatml

    def drawn(stops: Stops | None) -> list[list[int]]:
        sampling = Sampling(6, 12, temperature, 1.0, (), 0, stops=stops)
        groups = sample(model, [prompt()], [3], sampling, seed=2, batch_size=6, each=lambda: None)
        return [ids.tolist() for ids in groups[0]]

    free = drawn(None)
    whole = tokenizer.decode(free[0])
    border = next(i for i, (a, b) in enumerate(pairwise(free[0][3:]), 3) if text_of(tokenizer, a, b))
    string = text_of(tokenizer, *free[0][border : border + 2])
    assert string in whole
    stops = stops_of([string], tokenizer)
    assert stops is not None
    found = drawn(stops)
    assert found == [ids[: stops.end(ids)] for ids in free]
    assert len(found[0]) < len(free[0])


def text_of(tokenizer: Any, first: int, second: int) -> str:
    """The last character of one token and the first of the next, where both are characters."""
    parts = [tokenizer.decode([token]) for token in (first, second)]
    return parts[0][-1] + parts[1][0] if all(parts) and "\ufffd" not in "".join(parts) else ""


def test_an_answer_that_a_string_ends_has_ended(chatml: tuple[Any, Any]):
    tokenizer = chatml[1]
    sampling = Sampling(1, 9, 1.0, 1.0, (tokenizer.eos_token_id,), 0, stops=stops_of(["Q:"], tokenizer))
    texts = ["4\nQ:", "4\nQ", "4<|im_end|>"]
    responses = tuple(np.array(tokens_of(tokenizer, text), np.int32) for text in texts)
    answers = with_text(Prompt(0, "p:1", prompt(), "p"), responses, sampling, tokenizer)
    assert [(each.completion, each.ended) for each in answers.samples] == [
        ("4\nQ:", True),
        ("4\nQ", False),
        ("4", True),
    ]


def test_greedy_ends_where_generate_ends(chatml: tuple[Any, Any]):
    """transformers' own stop strings, on the same model."""
    model, tokenizer = chatml
    ids = torch.tensor([prompt().tolist()])
    options = {
        "attention_mask": torch.ones_like(ids),
        "do_sample": False,
        "max_new_tokens": 12,
        "eos_token_id": None,
    }
    free = model.generate(ids, **options)[0, 3:].tolist()
    string = tokenizer.decode(free[4:6])[-2:]
    stopped = model.generate(ids, stop_strings=[string], tokenizer=tokenizer, **options)[0, 3:].tolist()
    sampling = Sampling(1, 12, 0.0, 1.0, (), 0, stops=stops_of([string], tokenizer))
    found = sample(model, [prompt()], [0], sampling, seed=0, batch_size=1, each=lambda: None)
    assert found[0][0].tolist() == stopped
    assert len(stopped) < len(free)
