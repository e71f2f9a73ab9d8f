"""Strings that end a response, wherever the borders of its tokens lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Stops", "stops_of"]

_MORE = (
    4  # tokens before a string that are written with it: some write nothing, some only part of a character
)


@dataclass(frozen=True, eq=False)
class Stops:
    """Strings, and the function that writes tokens as text. A response ends after the token that completes one."""

    strings: tuple[str, ...]
    write: Callable[[Sequence[int]], str]

    @property
    def reach(self) -> int:
        """The number of tokens at the end of a text that can hold a string: each writes a byte at least."""
        return max(len(string.encode()) for string in self.strings) + _MORE

    def completed(self, ids: Sequence[int]) -> bool:
        """Tell whether tokens end with one that completes a string, where no earlier one did."""
        text = self.write(ids[-self.reach :])
        return any(string in text for string in self.strings)

    def end(self, ids: Sequence[int]) -> int:
        """Count the tokens up to the first that completes a string; all of them where none does."""
        return next((count for count in range(1, len(ids)) if self.completed(ids[:count])), len(ids))


def stops_of(strings: Sequence[str], tokenizer: Any) -> Stops | None:
    """Make the ends of responses from the strings of a spec; None where it has none.

    Special tokens are written too, so that a string may name one.
    """
    if not strings:
        return None

    def write(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(
            [int(each) for each in ids], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    return Stops(tuple(strings), write)
