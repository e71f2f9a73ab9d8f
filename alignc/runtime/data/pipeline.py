"""The way of a row: parsed, rendered, tokenized, cut. A chunk of rows is what one process works on."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from ...contract.failure import Failure
from ..base.signals import die_with_parent
from .cut import Cut, cut
from .format import Parsed, parse_row
from .pieces import encoder_of
from .render import Rendered, render
from .rows import Row
from .settings import DataSettings
from .template import Template, read_template
from .tokens import TokenRow, specials_of, tokenize

__all__ = ["LoadedRow", "Pipeline", "in_order"]

CHUNK = 512  # rows tokenized in one call
_ALONE = 8  # chunks that come before other processes are worth their start
_OF_A_ROW = {"E701", "E702", "E703", "E704", "E708"}

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedRow:
    """A row's way through the stages: its last stage, or the failure that stopped it."""

    row: Row | None
    parsed: Parsed | None = None
    text: Rendered | None = None
    cut: Cut | None = None
    failure: Failure | None = None


class Pipeline:
    """Takes rows as far as they get, with one tokenizer and one template."""

    def __init__(self, settings: DataSettings, tokenizer: Any) -> None:
        self.settings, self.tokenizer = settings, tokenizer
        self.specials = specials_of(tokenizer)
        self.template = template_of(settings)
        self.encode = encoder_of(tokenizer)

    def __call__(self, chunk: list[Row | Failure]) -> list[LoadedRow]:
        """Parse and render each row, tokenize those that can be, and give all back in their order."""
        stages = [self._rendered(row) for row in chunk]
        ready = [(s.row, s.text) for s in stages if s.row is not None and s.text is not None]
        tokens = iter(tokenize(ready, self.encode, self.specials))
        return [stage if stage.text is None else self._fitted(stage, next(tokens)) for stage in stages]

    def _rendered(self, row: Row | Failure) -> LoadedRow:
        if isinstance(row, Failure):
            return LoadedRow(None, failure=row)
        try:
            parsed = parse_row(row, self.settings)
            return LoadedRow(row, parsed, render(row, parsed, self.tokenizer, self.template))
        except Failure as failure:
            if failure.code not in _OF_A_ROW:
                raise
            return LoadedRow(row, failure=failure)

    def _fitted(self, stage: LoadedRow, tokens: TokenRow | Failure) -> LoadedRow:
        if isinstance(tokens, Failure):
            return LoadedRow(stage.row, failure=tokens)
        settings = self.settings
        fitted = cut(
            tokens.prompt, tokens.responses, settings.max_length, self.specials.bos, room=settings.room
        )
        return replace(stage, cut=fitted)


def template_of(settings: DataSettings) -> Template:
    """Read the chat template of the settings, with what it is given; raises E709."""
    return Template(
        read_template(settings.chat_template),
        settings.chat_template_kwargs,
        settings.chat_template_date,
        settings.date_record,
    )


_WORK: Callable[[Any], Any] | None = None  # of a process that `in_order` started


def in_order(rows: Iterable[Row | Failure], work: Callable[[list[Row | Failure]], T]) -> Iterator[T]:
    """Do the work of each chunk of rows, and give the results in order; many rows are shared among processes.

    The processes are copies of this one. A chunk is read only when its turn is near.
    """
    source = iter(rows)
    chunks = iter(lambda: list(islice(source, CHUNK)), [])
    for chunk in islice(chunks, _ALONE):
        yield work(chunk)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    first = next(chunks, None)
    if first is None:
        return
    if cores == 1:
        yield work(first)
        yield from map(work, chunks)
        return
    yield from _shared(_chained(first, chunks), work, min(cores, 16))


def _chained(first: T, rest: Iterator[T]) -> Iterator[T]:
    yield first
    yield from rest


def _shared(
    chunks: Iterator[list[Row | Failure]], work: Callable[[list[Row | Failure]], T], processes: int
) -> Iterator[T]:
    global _WORK  # a copied process finds the work here, which cannot be sent to it
    _WORK = work
    waiting: deque[Future[T]] = deque()
    try:
        with ProcessPoolExecutor(processes, get_context("fork"), initializer=_begin) as pool:
            for chunk in chunks:
                with warnings.catch_warnings():  # of threads, which a copied process has not: it needs none
                    warnings.simplefilter("ignore", DeprecationWarning)
                    waiting.append(pool.submit(_do, chunk))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        _WORK = None


def _begin() -> None:
    """Begin a copied process: it ends with this one, which alone heeds signals."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)


def _do(chunk: list[Row | Failure]) -> Any:
    assert _WORK is not None
    return _WORK(chunk)
