"""Checks of what goes with what: the combinations of settings that a job would refuse."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.reference import references
from alignc.checks.rule import Checked
from alignc.contract.support import cells_of, refused
from alignc.diagnostics import Diagnostic

__all__ = ["supported"]


def supported(checked: Checked) -> Iterator[Diagnostic]:
    """Report each row of the support table that refuses the job: the job itself would stop there.

    Given rows whose loss reads no reference may stand beside sampled rows whose reference moves.
    """
    unread = {"reference": "none"} if checked.beside_sampled and not references(checked.loss) else {}
    for _, spec_cell in cells_of(checked.spec.job.model_dump()):
        cell = {**spec_cell, **unread}
        for row in refused(cell):
            yield checked.finding(row.code, row.said(**cell), row.path, why=row.why, help=row.help)
