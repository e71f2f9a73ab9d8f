from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from alignc.runtime.data.preview import Quantiles, preview
from alignc.runtime.data.settings import DataSettings

Pairs = Callable[..., DataSettings]


def row(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_shows_each_token_of_the_first_rows(pairs: Pairs, chat_tokenizer: Any, byte_tokenizer: Any) -> None:
    settings = pairs([row("The sky is", " blue", " green"), row("a", "b", "c")])
    (shown,) = preview(settings, chat_tokenizer, rows=1).rows
    assert shown.origin == "rows.jsonl:1"
    assert shown.prompt == ("<|bos|>", "The", " sky", " is")
    assert shown.responses == {"chosen": (" blue", "<|im_end|>"), "rejected": (" green", "<|im_end|>")}
    (shown,) = preview(pairs([row("p", "é", "x")]), byte_tokenizer).rows
    assert shown.responses["chosen"] == ("\xc3", "\xa9", "</s>")  # half a character shows as its byte


def test_lengths_by_nearest_rank(pairs: Pairs, byte_tokenizer: Any) -> None:
    # responses have n letters and EOS: lengths 2 … 21 for chosen, 2 for rejected
    rows = [row("pp", "a" * count, "b") for count in range(1, 21)]
    seen = preview(pairs(rows), byte_tokenizer)
    assert seen.lengths == {
        "prompt": Quantiles(2, 2, 2),
        "chosen": Quantiles(11, 20, 21),
        "rejected": Quantiles(2, 2, 2),
    }
    assert seen.length_gap == 9.5  # mean of 0 … 19


def test_counts_what_stands_out(pairs: Pairs, byte_tokenizer: Any) -> None:
    rows = [
        row("p", "ab", "c"),
        row("p", "ab", "c"),
        row("p", "ab", "c"),
        row("p", "same", "same"),
        row("p", "It is", "It is blue"),
        row("p", "It is blue", "It"),
        row("p", "", "x"),
    ]
    seen = preview(pairs(rows), byte_tokenizer)
    assert (seen.duplicates, seen.identical, seen.prefixes) == (2, 1, 2)
    as_json = json.loads(json.dumps(seen.as_dict()))
    assert (as_json["duplicates"], as_json["refused"][0]["code"]) == (2, "E704")
    assert (seen.counts.kept, [failure.line for failure in seen.refused]) == (6, [7])


def test_scored_rows_are_shown_by_number(jsonl: Any, byte_tokenizer: Any) -> None:
    source = str(jsonl([{"prompt": "p", "completions": ["a", "b", "c"], "rewards": [1, 2, 3]}]))
    settings = DataSettings(
        kind="scored", source=source, responses=("completions",), needed=("reward/completions",)
    )
    (shown,) = preview(settings, byte_tokenizer).rows
    assert list(shown.responses) == ["completions[0]", "completions[1]", "completions[2]"]


def test_no_rows_at_all(pairs: Pairs, byte_tokenizer: Any) -> None:
    seen = preview(pairs([]), byte_tokenizer)
    assert (seen.rows, seen.lengths, seen.length_gap, seen.counts.rows) == ((), {}, None, 0)
