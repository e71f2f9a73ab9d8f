"""Work that the ranks of an online job share: each does its pieces, and every rank gets all results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ...contract.failure import Failure
from ..base.progress import Progress
from ..base.signals import Interrupted
from .run import Run
from .world import World

__all__ = ["shared"]

T = TypeVar("T")
FAILED = 1000  # above every signal's number


def shared(
    run: Run,
    world: World,
    pieces: Sequence[Sequence[int]],
    work: Callable[[list[int]], Mapping[int, T]],
    name: str = "",
) -> dict[int, T]:
    """Do this rank's pieces of work, lists of places; give the results at every place of all ranks.

    Every rank has the same number of pieces, empty ones where places ran out. Before each piece the ranks agree to
    go on: a signal to one of them interrupts all (Interrupted), a Failure of one is raised by all. So they
    are still together afterwards, and can save. Work with a ``name`` says how far it is where it takes long.
    """
    total = sum(map(len, pieces))
    with Progress(name, "prompts", total, shown=bool(name) and world.main) as progress:
        results, failure = do_pieces(run, world, pieces, work, progress)
    of_ranks = world.gather((results, failure))
    for _, failure in of_ranks:
        if failure is not None:
            raise failure
    return {place: value for own, _ in of_ranks for place, value in own.items()}


def do_pieces(
    run: Run,
    world: World,
    pieces: Sequence[Sequence[int]],
    work: Callable[[list[int]], Mapping[int, T]],
    progress: Progress,
) -> tuple[dict[int, T], Failure | None]:
    """Do this rank's pieces, up to a Failure, its own or another rank's."""
    results: dict[int, T] = {}
    failure: Failure | None = None
    for piece in pieces:
        reason = world.agree(FAILED if failure else run.stop.signum)
        if reason == FAILED:
            break
        if reason:
            raise Interrupted(reason)
        try:
            results |= work(list(piece)) if piece else {}
        except Failure as problem:
            failure = problem
        run.pulse.beat()
        progress.add(len(piece))
    return results, failure
