"""Whether a run may go on with the rows that are left."""

from __future__ import annotations

from dataclasses import dataclass

from ...contract.failure import Failure
from .settings import DataSettings

__all__ = ["Counts", "judge"]


@dataclass(frozen=True)
class Counts:
    """Counts of rows: ``rows`` read = ``kept`` + ``refused``; the others count kept rows."""

    rows: int
    kept: int
    refused: int
    prompts_cut: int
    completions_cut: int


def judge(counts: Counts, refused: tuple[Failure, ...], settings: DataSettings) -> None:
    """Raise E705, E706 or E707 where more was cut or refused than the spec allows."""
    if refused and not counts.kept and len({failure.code for failure in refused}) == 1:
        raise _one_cause(refused, counts.rows)
    if counts.refused > _allowed(settings, counts.rows):
        raise _too_many_refused(refused, counts.rows, settings)
    if not counts.kept:
        raise Failure("E707", f"none of the {counts.rows} rows is left", file=settings.source, causes=refused)
    if counts.completions_cut > settings.max_cut * counts.kept:
        raise _too_many_cut(counts, settings)


def _allowed(settings: DataSettings, rows: int) -> float:
    """Return how many rows may be refused; quarantine sets no bound but one that the spec gives."""
    if settings.on_bad_row == "quarantine" and not settings.max_refused:
        return float("inf")
    return settings.max_refused * rows if settings.max_refused < 1 else settings.max_refused


def _one_cause(refused: tuple[Failure, ...], rows: int) -> Failure:
    """Name once a failure that every row has: most often the name of a column."""
    first = refused[0]
    where = f" (in all {rows} rows)" if rows > 1 else ""
    return Failure(
        first.code,
        first.message + where,
        why=first.why,
        help=first.help,
        file=first.file,
        line=first.line,
        column=first.column,
    )


def _too_many_refused(refused: tuple[Failure, ...], rows: int, settings: DataSettings) -> Failure:
    are = "row is" if rows == 1 else "rows is" if len(refused) == 1 else "rows are"
    return Failure(
        "E706",
        f"{len(refused)} of {rows} {are} refused; `data.max_refused` allows {settings.max_refused:g}",
        help=f"correct the rows, allow them with `data.max_refused: {len(refused)}`, "
        "or set them aside with `data.on_bad_row: quarantine`",
        file=settings.source,
        causes=refused,
    )


def _too_many_cut(counts: Counts, settings: DataSettings) -> Failure:
    share = counts.completions_cut / counts.kept
    rows, have = "row" if counts.kept == 1 else "rows", "has" if counts.completions_cut == 1 else "have"
    return Failure(
        "E705",
        f"{counts.completions_cut} of {counts.kept} {rows} ({share:.1%}) {have} a completion that does not fit "
        f"`train.max_length: {settings.max_length}`; `data.max_cut` allows {settings.max_cut:.1%}",
        why="a cut completion has no EOS, so the policy would learn not to stop",
        help="raise `train.max_length` (`alignc data` shows the lengths of the rows), or `data.max_cut`",
        file=settings.source,
    )
