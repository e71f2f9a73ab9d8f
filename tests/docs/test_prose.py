"""Sentences of the pages that people write are short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 30  # words
TEXTS = {str(p.relative_to(ROOT)): p.read_text("utf-8") for f in ("*.md", "docs/*.md") for p in ROOT.glob(f)}


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences outside code, tables and headings; an item of a list ends where the next one begins."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.S | re.M)
    text = re.sub(r"^(\||#|!\[).*$", "", text, flags=re.M)
    text = re.sub(r"`[^`]*`", "X", text).replace("**", "")
    text = re.sub(r"\]\([^)]*\)", "]", text)
    for block in re.split(r"\n\s*\n|^\s*(?:-|\d+\.)\s", text, flags=re.M):
        yield from re.split(r"(?<=[.!?:])\s+(?=[^a-z]|alignc)", " ".join(block.split()))


def long_sentences(page: str) -> list[str]:
    return [sentence for sentence in sentences(page) if len(sentence.split()) > LONGEST]


@pytest.mark.parametrize("page", sorted(p for p, t in TEXTS.items() if "<!-- Generated" not in t))
def test_no_sentence_is_long(page: str) -> None:
    assert long_sentences(TEXTS[page]) == []


def test_a_long_sentence_is_found_and_code_is_not_read() -> None:
    words = "Word " + "word " * (LONGEST - 1)
    code = f"```\n{words}{words}\n```\n\n`{words}{words}` ends.\n"
    page = f"# {words}{words}\n\n- One.\n- Two: three.\n  {words}end.\n\n{code}"
    assert long_sentences(page) == [f"{words}end."]
