"""The settings of loading data: the data section of a job and the few facts around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ...contract.files import QUARANTINE, TEMPLATE_DATE
from ...contract.job import Job
from ...contract.responses import SINGLE
from ...contract.rows import HeldOut
from .hub import FromHub

__all__ = ["DataSettings", "settings_from_job"]


@dataclass(frozen=True)
class DataSettings:
    """The resolved ``data`` section, and the settings that loading needs of the rest of the job.

    ``max_length`` counts tokens of prompt and response together; None sets no bound. ``max_refused`` is a
    number of rows, or below 1 a share of them; ``max_cut`` is a share. ``needed`` names the numeric columns
    that the objective reads. ``quarantine`` is the file that refused rows are written to, ``date_record`` the file
    that keeps the date which a chat template wrote as today's.

    Of prompts, ``room`` counts the tokens that stay free for a sampled completion, and ``demonstrated`` tells that
    each row has a completion of its own, which the objective compares with the samples.
    """

    kind: str
    source: str
    split: str = "train"
    name: str | None = None
    revision: str | None = None
    data_files: str | Sequence[str] | None = None
    streaming: bool = False
    columns: Mapping[str, str | None] = field(default_factory=dict)
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template_date: str | None = None
    max_rows: int | None = None
    eval: HeldOut | None = None
    on_bad_row: str = "error"
    max_refused: float = 0
    max_cut: float = 0.2
    max_length: int | None = 1024
    responses: tuple[str, ...] = SINGLE
    needed: tuple[str, ...] = ()
    seed: int = 42
    quarantine: str | None = None
    date_record: str | None = None
    room: int = 0
    demonstrated: bool = False

    @property
    def hub(self) -> FromHub:
        """What is wanted of a data set of the hub."""
        return FromHub(self.name, self.revision, self.data_files, self.streaming)

    def of_source(self, number: int) -> DataSettings:
        """Give the second source of a job, and each later one, a file of its own for the rows that are refused.

        `quarantine.jsonl` is the first source's, `quarantine_2.jsonl` the second's. A job of one source has number 0.
        """
        if number < 2 or self.quarantine is None:
            return self
        stem, dot, suffix = self.quarantine.rpartition(".")
        return replace(self, quarantine=f"{stem}_{number}{dot}{suffix}")


def settings_from_job(job: Job) -> DataSettings:
    """Take the settings out of a job."""
    known = {each.name for each in fields(DataSettings)}
    section = {name: value for name, value in vars(job.rows).items() if name in known}
    return DataSettings(
        **section,
        max_length=job.spec.train.max_length,
        responses=tuple(job.needs.responses),
        needed=tuple(job.needs.columns),
        seed=job.spec.train.seed,
        quarantine=str(job.output_dir / QUARANTINE),
        date_record=str(job.output_dir / TEMPLATE_DATE),
        demonstrated=job.needs.convert == "demonstration",
    )
