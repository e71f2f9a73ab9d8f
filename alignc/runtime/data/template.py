"""How conversations become text: a chat template, the values that it reads, and a clock that stands still.

A template may ask for today's date (`strftime_now`) or draw at random. A run must be the same run tomorrow: the date is
that of the spec, else the one that was recorded when the run first asked; a draw depends on the row alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ..base.console import say

__all__ = ["Template", "read_template", "recorded"]

_DRAWS = ("random", "lipsum")  # the filter and the function of Jinja that draw


@dataclass(frozen=True)
class Template:
    """A template's text (None: the tokenizer's own), the values that it reads, and the date that it takes for today.

    ``day`` is written YYYY-MM-DD. Without it the date is read from the file ``record``, which is written at the first
    use; without both it is the present one.
    """

    text: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    day: str | None = None
    record: str | None = None

    def write(self, tokenizer: Any, chat: list[Any], key: str, **options: Any) -> str:
        """Write a conversation; draws of the template depend on ``key``."""
        text = str(self.text or tokenizer.chat_template)
        with _draws(text, key), self._still(text):
            written: str = tokenizer.apply_chat_template(
                chat, tokenize=False, chat_template=self.text, **{**self.values, **options}
            )
        return written

    @contextmanager
    def _still(self, text: str) -> Iterator[None]:
        """Let the clock that transformers shows to templates stand at the beginning of the day.

        A template gets plain values alone from a caller, so the clock is changed where it is read.
        """
        if "strftime_now" not in text:
            yield
            return
        from transformers.utils import chat_template_utils

        before = chat_template_utils.datetime
        chat_template_utils.datetime = self  # what has a `now` is a clock
        try:
            yield
        finally:
            chat_template_utils.datetime = before

    def now(self) -> datetime:
        """Tell the time that a template sees."""
        today = date.fromisoformat(self.day) if self.day else recorded(self.record)
        return datetime.combine(today, time())


@contextmanager
def _draws(text: str, key: str) -> Iterator[None]:
    """Let what a template draws follow from a key, and leave everybody else's draws as they were."""
    if not any(word in text for word in _DRAWS):
        yield
        return
    before = random.getstate()
    random.seed(key)
    try:
        yield
    finally:
        random.setstate(before)


@cache
def recorded(record: str | None) -> date:
    """Read the date of a run, or record today's where the run's folder has none; one process records, all read."""
    file = Path(record) if record else None
    if file is None or not file.parent.is_dir():
        return _told(date.today())
    if not file.is_file():
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_text(f"{date.today().isoformat()}\n", "utf-8")
        try:
            os.link(aside, file)
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return _told(date.fromisoformat(file.read_text("utf-8").strip()))


def _told(day: date) -> date:
    if os.environ.get("RANK", "0") == "0":
        say(
            f"the chat template may write today's date, and gets {day}; another run may have another date: "
            f"set `data.chat_template_date: {day}`"
        )
    return day


def read_template(path: str | None) -> str | None:
    """Read a chat template's file; raises E709 where it can't be read."""
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "E709",
            f"the chat template cannot be read: {error}",
            why="`data.chat_template` must name a text file in UTF-8",
            help="correct the path, or save the file as UTF-8",
            file=path,
        ) from error
