"""Tokenize much text quickly: pieces that a tokenizer treats alone are tokenized once, and remembered.

Byte-level tokenizers split a text into words before they merge bytes. A word begins at a single space between visible
ASCII characters, and behind a single newline. So the ids of a text are the ids of its pieces, one after another.
Whether this holds for a tokenizer is decided by its own description, and then tried out. Others tokenize whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain, product
from typing import Any

__all__ = ["Encoder", "encoder_of", "splits_at_spaces", "whole_texts"]

_BOUNDARY = re.compile(r"(?<=[!-~])(?= [!-~])|(?<=[!-~]\n)(?=[A-Za-z0-9])")
_REMEMBERED = 1 << 17  # pieces
_LONGEST = 40  # characters of a piece that is remembered
_LEFT = (
    *(
        "a",
        "The",
        "it's",
        "don't",
        "x1",
        "123",
        "1,234.5",
        "éa",
        "中a",
        "\n\na",
        "  a",
        "a.",
        "a)",
        "$",
        "...",
        "=",
    ),
    *("'", "<|x|>", "a/", 'a"', "#", "é!", "a\n\nb", "http://a"),
)
_RIGHT = (
    *(
        " b",
        " York",
        " B1",
        " 1",
        " 12345",
        " 's",
        " 'll",
        " $5",
        " (b",
        " b\n",
        " b  c",
        " bé",
        " .",
        " ...",
        " /",
    ),
    *(" #b", " =", " It's", " b\u0301", " {", ' "b'),
)
_LINES = ("b", "York", "12345", "B's", "b\n\nc")

Encoder = Callable[[Sequence[str]], list[list[int]]]
"""Gives the ids of each text, without special tokens of the tokenizer's own."""


def encoder_of(tokenizer: Any) -> Encoder:
    """Return the fastest way to tokenize that gives the tokenizer's own ids."""
    return _Pieces(tokenizer) if splits_at_spaces(tokenizer) else whole_texts(tokenizer)


def whole_texts(tokenizer: Any) -> Encoder:
    """Tokenize texts as they are, without special tokens of the tokenizer's own."""

    def encode(texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    return encode


class _Pieces:
    """Tokenizes pieces, and remembers the short ones."""

    def __init__(self, tokenizer: Any) -> None:
        self.backend = tokenizer.backend_tokenizer
        self.known: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize texts. One that begins with the text before it, as a whole begins with its prompt, is quicker."""
        split = self._split(texts)
        new = self._learn(set().union(*[pieces for _, pieces in split]))
        ids_of = self.known.__getitem__
        ids: list[list[int]] = []
        for of, pieces in split:
            own = list(chain.from_iterable(map(ids_of, pieces)))
            if of is not None:
                last = ids_of(split[of][1][-1])
                own = ids[of][: len(ids[of]) - len(last)] + own
            ids.append(own)
        self._forget(new)
        return ids

    def _split(self, texts: Sequence[str]) -> list[tuple[int | None, list[str]]]:
        """Split texts. One that begins as an earlier one does is split from the last piece of that one on."""
        split: list[tuple[int | None, list[str]]] = []
        head, of, rest = "", None, 0
        for place, text in enumerate(texts):
            if of is not None and head and text.startswith(head):
                split.append((of, _BOUNDARY.split(text[rest:])))
                continue
            pieces = _BOUNDARY.split(text)
            split.append((None, pieces))
            head, of, rest = text, place, len(text) - len(pieces[-1])
        return split

    def _learn(self, pieces: set[str]) -> list[str]:
        """Tokenize the pieces that are new, and list them."""
        new = list(pieces - self.known.keys())
        if new:
            encoded = self.backend.encode_batch(new, add_special_tokens=False)
            self.known.update(zip(new, [each.ids for each in encoded], strict=True))
        return new

    def _forget(self, new: list[str]) -> None:
        """Keep of new pieces those that are short, as long as there is room."""
        full = len(self.known) > _REMEMBERED
        for piece in new:
            if full or len(piece) > _LONGEST:
                del self.known[piece]


def splits_at_spaces(tokenizer: Any) -> bool:
    """Tell whether a tokenizer surely parts words at a space between letters: by its description, and by trial."""
    if not getattr(tokenizer, "is_fast", False) or not type(tokenizer).__module__.startswith("transformers."):
        return False
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    added = all(_harmless(token) for token in described["added_tokens"])
    return _parts_words(described) and added and _holds(tokenizer)


def _parts_words(described: dict[str, Any]) -> bool:
    """Tell whether the steps before the merges are those of byte-level BPE."""
    model, normalizer, before = (described[key] for key in ("model", "normalizer", "pre_tokenizer"))
    steps = _steps(before, "pretokenizers")
    words = any(
        step["type"] == "Split" or (step["type"] == "ByteLevel" and step["use_regex"]) for step in steps
    )
    return (
        model["type"] == "BPE"
        and not model.get("dropout")
        and all(step["type"] == "NFC" for step in _steps(normalizer, "normalizers"))
        and words
        and all(_known(step) for step in steps)
    )


def _steps(step: dict[str, Any] | None, several: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return list(step[several]) if step["type"] == "Sequence" else [step]


def _known(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return not step["add_prefix_space"]
    return step["type"] == "Digits" or (step["type"] == "Split" and step["behavior"] == "Isolated")


def _harmless(token: dict[str, Any]) -> bool:
    """Tell whether an added token neither reaches over a boundary nor takes the spaces beside it."""
    return not (_BOUNDARY.search(token["content"]) or token["lstrip"] or token["rstrip"])


def _holds(tokenizer: Any) -> bool:
    """Try texts with a boundary: the ids of both sides must be those of the whole."""
    whole = whole_texts(tokenizer)
    pairs = [*product(_LEFT, _RIGHT), *product([f"{left}\n" for left in _LEFT], _LINES)]
    together = whole([left + right for left, right in pairs])
    left, right = whole([left for left, _ in pairs]), whole([right for _, right in pairs])
    return all(ids == a + b for ids, a, b in zip(together, left, right, strict=True))
