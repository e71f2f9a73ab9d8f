"""Cut a row to the length a model may see: prompts on the left, completions only if they must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cut", "cut"]


@dataclass(frozen=True)
class Cut:
    """Token ids after cutting, and the numbers of tokens that were cut."""

    prompt: Sequence[int]
    responses: tuple[Sequence[int], ...]
    prompt_cut: bool = False
    responses_cut: bool = False


def cut(
    prompt: Sequence[int],
    responses: Sequence[Sequence[int]],
    max_length: int | None,
    bos: int | None = None,
    *,
    room: int = 0,
) -> Cut:
    """Make prompt and every response fit ``max_length`` (at least 2) tokens together.

    The prompt loses its beginning, but for BOS; it keeps a token at least. A response loses its end only
    where it would not fit behind a prompt of one token. ``room`` tokens (below ``max_length``) stay free behind
    the prompt for a response that is yet to be sampled.
    """
    if max_length is None:
        return Cut(prompt, tuple(responses))
    kept = tuple(response[: max_length - 1] for response in responses)
    left = max_length - max(room, *map(len, kept), 0)
    return Cut(
        _tail(prompt, left, bos),
        kept,
        prompt_cut=len(prompt) > left,
        responses_cut=any(len(response) > max_length - 1 for response in responses),
    )


def _tail(prompt: Sequence[int], room: int, bos: int | None) -> Sequence[int]:
    if len(prompt) <= room:
        return prompt
    if prompt[0] != bos:
        return prompt[-room:]
    return [*prompt[:1], *prompt[len(prompt) - room + 1 :]]
