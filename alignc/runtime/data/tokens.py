"""From rendered texts to token ids: where the prompt ends, BOS once, EOS supervised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from ...contract.failure import Failure
from ..base.endings import end_ids
from .pieces import Encoder
from .render import Rendered
from .rows import Row

__all__ = ["Specials", "TokenRow", "specials_of", "tokenize"]


@dataclass(frozen=True)
class Specials:
    """A tokenizer's special ids; ``start`` stands in for a prompt that would have no token.

    ``eos`` closes a response that has no end, ``ends`` are all ids that end one; ``blank`` tells of a token that a
    template may write behind an end: whitespace, or a special token.
    """

    bos: int | None
    eos: int
    ends: tuple[int, ...]
    adds_bos: bool
    blank: Callable[[int], bool]

    @property
    def start(self) -> int:
        """Return BOS, or EOS (the end of whatever came before) where there is none."""
        return self.eos if self.bos is None else self.bos


@dataclass(frozen=True)
class TokenRow:
    """Token ids of a prompt and of the responses to it, not yet cut."""

    prompt: Sequence[int]
    responses: tuple[Sequence[int], ...]


def specials_of(tokenizer: Any) -> Specials:
    """Read a tokenizer's special ids and whether it puts BOS before a text; raises E709 without EOS."""
    if tokenizer.eos_token_id is None:
        raise Failure(
            "E709", "the tokenizer has no EOS token, so the policy could not learn to end a completion"
        )
    bos = tokenizer.bos_token_id
    begins = tokenizer("a")["input_ids"][:1]
    adds_bos, special = bos is not None and begins == [bos], frozenset(tokenizer.all_special_ids)

    @cache
    def blank(token: int) -> bool:
        return token in special or not tokenizer.decode([token]).strip()

    return Specials(bos, tokenizer.eos_token_id, end_ids(tokenizer), adds_bos, blank)


def tokenize(
    rows: Sequence[tuple[Row, Rendered]], encode: Encoder, specials: Specials
) -> list[TokenRow | Failure]:
    """Tokenize rows, or give their failures: E704 (nothing to learn), E708 (BOS twice)."""
    texts = [text for _, rendered in rows for text in (rendered.prompt, *rendered.wholes)]
    ids = iter(encode(texts))
    result: list[TokenRow | Failure] = []
    for row, rendered in rows:
        prompt, *wholes = islice(ids, 1 + len(rendered.wholes))
        result.append(_token_row(row, prompt, wholes, specials, rendered.templated))
    return result


def _token_row(
    row: Row, prompt: list[int], wholes: list[list[int]], specials: Specials, templated: bool
) -> TokenRow | Failure:
    """Split where all texts still agree: a token that spans the boundary belongs to the response."""
    end = min((_agree(prompt, whole) for whole in wholes), default=len(prompt))
    replies = [whole[end:] for whole in wholes]
    shared = _begin(prompt[:end], specials, templated)
    if not all(replies):
        return row.failure("E704", "a completion adds no token to its prompt")
    if _bos_count(shared, specials) > 1 or any(_bos_count(reply, specials) for reply in replies):
        return row.failure(
            "E708",
            "the text contains BOS twice",
            "the tokenizer or the chat template already writes BOS; remove BOS from the text of the row",
        )
    return TokenRow(shared, tuple(_close(reply, specials) for reply in replies))


def _agree(first: list[int], second: list[int]) -> int:
    if second[: len(first)] == first:
        return len(first)
    same = (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(same, min(len(first), len(second)))


def _begin(prompt: list[int], specials: Specials, templated: bool) -> list[int]:
    if specials.adds_bos and not templated:
        return [specials.start, *prompt]
    return prompt or [specials.start]


def _bos_count(ids: list[int], specials: Specials) -> int:
    """Count BOS at the beginning; a template may well write it again before a later turn."""
    if specials.bos is None or specials.bos == specials.eos:
        return 0
    return next((i for i, token in enumerate(ids) if token != specials.bos), len(ids))


def _close(reply: list[int], specials: Specials) -> list[int]:
    """End a response at the first token that ends it, of those that nothing but blanks follows; or add EOS.

    ChatML writes a line break behind the end of a turn, Phi 3 a second end: generation has stopped before them.
    """
    tail = next((at for at in range(len(reply), 0, -1) if not specials.blank(reply[at - 1])), 0)
    end = next((at for at in range(tail, len(reply)) if reply[at] in specials.ends), None)
    return [*reply, specials.eos] if end is None else reply[: end + 1]
