"""Work that the ranks of an online job share: each does its pieces, and every rank gets all results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .conduct import Run
from .failure import Failure
from .signals import Interrupted
from .world import World

__all__ = ["shared"]

T = TypeVar("T")
SPOILT = 1000  # above every signal's number


def shared(
    run: Run, world: World, pieces: Sequence[Sequence[int]], work: Callable[[list[int]], Mapping[int, T]]
) -> dict[int, T]:
    """Do this rank's pieces of work, lists of places; give what was found at every place of all ranks.

    Every rank has the same number of pieces, empty ones where places ran out. Before each piece the ranks agree to
    go on: a signal to one of them interrupts all (Interrupted), a Failure of one is raised by all. So they
    are still together afterwards, and can save.
    """
    found: dict[int, T] = {}
    failure: Failure | None = None
    for piece in pieces:
        word = world.agree(SPOILT if failure else run.stop.signum)
        if word == SPOILT:
            break
        if word:
            raise Interrupted(word)
        try:
            found |= work(list(piece)) if piece else {}
        except Failure as problem:
            failure = problem
        run.pulse.beat()
    held = world.gather((found, failure))
    for _, spoilt in held:
        if spoilt is not None:
            raise spoilt
    return {place: value for each, _ in held for place, value in each.items()}
