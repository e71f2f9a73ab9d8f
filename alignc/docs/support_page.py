"""docs/support.md: which settings go together, from the one table that the compiler and the job read."""

from __future__ import annotations

from alignc.contract.support import ABSENT, AXES, REFUSALS, Refusal
from alignc.docs.markdown import GENERATED, table

__all__ = ["support_page"]

HEAD = """
# What goes with what

Each row of the first table is a combination of settings that alignc refuses. `alignc validate` reports it at the line
of the spec, and the job reports it again before it starts. Every other combination of the values below is supported.

"""
VALUES = """
## The axes

`none` says that the axis has no meaning for the job: a job on given rows has no sampler. `derived` is a reference that
the spec leaves open. The architecture is known once the model is loaded, so the job alone checks it.

"""
OTHERS = """
## Values of other tools

Other tools take these values. alignc does not.

"""


def support_page() -> str:
    """Write the page: the refused combinations, the axes, and the values that only other tools have."""
    rows = table(("settings", "code", "reason", "way out"), [_row(row) for row in REFUSALS])
    axes = table(("axis", "values"), [(axis, _values(values)) for axis, values in AXES.items()])
    others = [(f"`{field}`", f"`{value}`", *reasons) for (field, value), reasons in ABSENT.items()]
    absent = table(("field", "value", "reason", "way out"), others)
    return "".join((GENERATED, HEAD, rows, VALUES, axes, OTHERS, absent))


def _row(row: Refusal) -> tuple[str, str, str, str]:
    settings = "; ".join(f"{axis}: {_values(values)}" for axis, values in row.when.items())
    return settings, row.code, row.why, row.help


def _values(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)
