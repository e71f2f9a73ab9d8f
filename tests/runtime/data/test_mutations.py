"""Every way a row can be wrong: its code, at its line, and never one row too many or too few."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.settings import DataSettings

USER = {"role": "user", "content": "What color is the sky?"}
GOOD = {"role": "assistant", "content": "It is blue."}
BAD = {"role": "assistant", "content": "It is green."}
PLAIN = {"prompt": "The sky is", "chosen": " blue", "rejected": " green"}
CHAT = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}
WHOLE = {"chosen": [USER, GOOD], "rejected": [USER, BAD]}
TOLD = {"messages": [USER, GOOD]}
MARKED = {"prompt": "The sky is", "completion": " blue", "label": True}
SCORED = {"prompt": "The sky is", "completions": [" blue", " green"], "rewards": [1.0, 0.0]}
PAIR = ("chosen", "rejected")


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def turn(row: dict[str, Any], column: str, index: int, **changes: Any) -> dict[str, Any]:
    """Change a turn's keys; None takes a key away."""
    row = copy.deepcopy(row)
    merged = {**row[column][index], **changes}
    row[column][index] = {key: value for key, value in merged.items() if value is not None}
    return row


MUTATIONS: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    # name: kind, a good row, the bad row (a string is the line itself), code
    "prompt missing": ("pairwise", PLAIN, without(PLAIN, "prompt"), "E704"),
    "chosen missing": ("pairwise", PLAIN, without(PLAIN, "chosen"), "E701"),
    "rejected missing": ("pairwise", PLAIN, without(PLAIN, "rejected"), "E701"),
    "key misspelt": ("pairwise", PLAIN, {**without(PLAIN, "chosen"), "choosen": " blue"}, "E701"),
    "no column at all": ("pairwise", PLAIN, {}, "E701"),
    "chosen null": ("pairwise", PLAIN, {**PLAIN, "chosen": None}, "E702"),
    "chosen a number": ("pairwise", PLAIN, {**PLAIN, "chosen": 3}, "E702"),
    "chosen a boolean": ("pairwise", PLAIN, {**PLAIN, "chosen": True}, "E702"),
    "chosen an object": ("pairwise", PLAIN, {**PLAIN, "chosen": {"text": "blue"}}, "E702"),
    "chosen strings": ("pairwise", PLAIN, {**PLAIN, "chosen": ["blue"]}, "E702"),
    "chosen an empty list": ("pairwise", PLAIN, {**PLAIN, "chosen": []}, "E702"),
    "chosen empty": ("pairwise", PLAIN, {**PLAIN, "chosen": ""}, "E704"),
    "rejected blank": ("pairwise", PLAIN, {**PLAIN, "rejected": " \n"}, "E704"),
    "prompt empty": ("pairwise", PLAIN, {**PLAIN, "prompt": ""}, "E704"),
    "prompt a number": ("pairwise", PLAIN, {**PLAIN, "prompt": 7}, "E702"),
    "half a character": ("pairwise", PLAIN, json.dumps({**PLAIN, "chosen": "\ud800"}), "E702"),
    "nothing shared": ("pairwise", PLAIN, {"chosen": "Blue.", "rejected": "Red."}, "E704"),
    "one is the other's beginning": (
        "pairwise",
        PLAIN,
        {"chosen": "The sky", "rejected": "The sky is"},
        "E704",
    ),
    "both the same": ("pairwise", PLAIN, {"chosen": "The sky", "rejected": "The sky"}, "E704"),
    "text beside a conversation": ("pairwise", WHOLE, {**WHOLE, "chosen": "Blue."}, "E702"),
    "role missing": ("pairwise", CHAT, turn(CHAT, "prompt", 0, role=None), "E702"),
    "role a number": ("pairwise", CHAT, turn(CHAT, "prompt", 0, role=1), "E702"),
    "content missing": ("pairwise", CHAT, turn(CHAT, "chosen", 0, content=None), "E702"),
    "content a list": ("pairwise", CHAT, turn(CHAT, "chosen", 0, content=["It is"]), "E702"),
    "content empty": ("pairwise", CHAT, turn(CHAT, "chosen", 0, content=""), "E704"),
    "half a character in a turn": ("pairwise", CHAT, turn(CHAT, "chosen", 0, content="\udfff"), "E702"),
    "turn a string": ("pairwise", CHAT, {**CHAT, "chosen": ["It is blue."]}, "E702"),
    "answer by the user": ("pairwise", CHAT, turn(CHAT, "rejected", 0, role="user"), "E702"),
    "answer ends with the user": ("pairwise", CHAT, {**CHAT, "chosen": [GOOD, USER]}, "E702"),
    "prompt ends with the assistant": ("pairwise", CHAT, {**CHAT, "prompt": [USER, GOOD]}, "E702"),
    "answer is the prompt": ("pairwise", CHAT, {**CHAT, "chosen": [USER]}, "E704"),
    "other questions": ("pairwise", WHOLE, turn(WHOLE, "chosen", 0, content="What is it?"), "E704"),
    "ShareGPT without value": ("pairwise", CHAT, {**CHAT, "chosen": [{"from": "gpt"}]}, "E702"),
    "ShareGPT's from a number": ("pairwise", CHAT, {**CHAT, "chosen": [{"from": 1, "value": "x"}]}, "E702"),
    "tools a string": ("pairwise", CHAT, {**CHAT, "tools": "look"}, "E702"),
    "no assistant's turn": ("demonstrations", TOLD, {"messages": [USER]}, "E704"),
    "only the assistant's turn": ("demonstrations", TOLD, {"messages": [GOOD]}, "E704"),
    "messages a string": ("demonstrations", TOLD, {"messages": "Hi"}, "E702"),
    "messages empty": ("demonstrations", TOLD, {"messages": []}, "E702"),
    "none of the formats": ("demonstrations", TOLD, {"body": "Hi"}, "E701"),
    "text empty": ("demonstrations", {"text": "The sky"}, {"text": ""}, "E704"),
    "text a number": ("demonstrations", {"text": "The sky"}, {"text": 4}, "E702"),
    "label missing": ("pointwise", MARKED, without(MARKED, "label"), "E701"),
    "label a word": ("pointwise", MARKED, {**MARKED, "label": "yes"}, "E702"),
    "label two": ("pointwise", MARKED, {**MARKED, "label": 2}, "E702"),
    "label NaN": ("pointwise", MARKED, {**MARKED, "label": float("nan")}, "E702"),
    "rewards too few": ("scored", SCORED, {**SCORED, "rewards": [1.0]}, "E702"),
    "rewards with a string": ("scored", SCORED, {**SCORED, "rewards": [1.0, "0"]}, "E702"),
    "rewards all equal": ("scored", SCORED, {**SCORED, "rewards": [1.0, 1.0]}, "E702"),
    "completions empty": ("scored", SCORED, {**SCORED, "completions": []}, "E702"),
    "a completion empty": ("scored", SCORED, {**SCORED, "completions": [" blue", ""]}, "E704"),
    "not JSON": ("pairwise", PLAIN, '{"prompt": "The sky is", ', "E703"),
    "not an object": ("pairwise", PLAIN, "[1]", "E703"),
    "a key twice": ("pairwise", PLAIN, '{"prompt": "a", "prompt": "b"}', "E703"),
    "BOS twice": ("pairwise", PLAIN, {**PLAIN, "prompt": "<|bos|>The sky"}, "E708"),
}
NEEDED = {"pointwise": ("label",)}
RESPONSES = {"pairwise": PAIR, "scored": PAIR}


def settings_for(kind: str, source: Any) -> DataSettings:
    responses = RESPONSES.get(kind, ("completion",))
    return DataSettings(kind=kind, source=str(source), responses=responses, needed=NEEDED.get(kind, ()))


def all_refused(settings: DataSettings, tokenizer: Any) -> tuple[Failure, ...]:
    with pytest.raises(Failure) as caught:
        load_examples(settings, tokenizer)
    assert (caught.value.code, caught.value.exit_code) == ("E706", 1)
    return caught.value.causes


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_bad_row_has_its_code_and_line(name: str, jsonl: Callable[..., Any], chat_tokenizer: Any) -> None:
    kind, good, bad, code = MUTATIONS[name]
    source = jsonl([good, good, bad, good])
    (cause,) = all_refused(settings_for(kind, source), chat_tokenizer)
    assert (cause.code, cause.file, cause.line) == (code, str(source), 3)


@pytest.mark.parametrize("kind", ["pairwise", "demonstrations", "pointwise", "scored"])
def test_the_good_rows_are_good(kind: str, jsonl: Callable[..., Any], chat_tokenizer: Any) -> None:
    rows = [good for each, good, _, _ in MUTATIONS.values() if each == kind]
    data = load_examples(settings_for(kind, jsonl(rows)), chat_tokenizer)
    assert (data.counts.kept, data.counts.refused) == (len(rows), 0)


def test_of_2000_rows_exactly_the_37_bad_ones_are_reported(
    jsonl: Callable[..., Any], chat_tokenizer: Any
) -> None:
    bad = [(row, code) for kind, _, row, code in MUTATIONS.values() if kind == "pairwise"]
    rows: list[Any] = [PLAIN] * 2000
    lines = sorted(random.Random(7).sample(range(2000), 37))
    for number, line in enumerate(lines):
        rows[line] = bad[number % len(bad)][0]
    causes = all_refused(settings_for("pairwise", jsonl(rows)), chat_tokenizer)
    expected = [(line + 1, bad[number % len(bad)][1]) for number, line in enumerate(lines)]
    assert [(cause.line, cause.code) for cause in causes] == expected
