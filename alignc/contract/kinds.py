"""The kinds of data: where the responses come from, and which responses a row has; a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .responses import GROUP, PAIR, SINGLE

__all__ = ["GIVEN", "KINDS", "LABELLED", "ONLINE", "SELF_PLAY", "SEVERAL", "KindRow"]

SELF_PLAY = "self_play"
"""All prompts are answered in each iteration, and fitted before the next one."""


@dataclass(frozen=True)
class KindRow:
    """A kind of data by its name in `data.kind`.

    `responses` are those of a row, given or sampled. `online`: the policy samples the responses while it trains.
    `labelled`: a row may say whether its response is desirable.
    """

    name: str
    responses: tuple[str, ...]
    online: bool = False
    labelled: bool = False


_ROWS = (
    KindRow("pairwise", PAIR),
    KindRow("pointwise", SINGLE, labelled=True),
    KindRow("demonstrations", SINGLE),
    KindRow("scored", GROUP),
    KindRow("prompts", GROUP, online=True),
    KindRow(SELF_PLAY, GROUP, online=True),
)
KINDS: Mapping[str, KindRow] = {row.name: row for row in _ROWS}

ONLINE = tuple(row.name for row in _ROWS if row.online)
"""The kinds whose responses the policy samples."""
GIVEN = tuple(row.name for row in _ROWS if not row.online)
"""The kinds whose responses the data gives."""
LABELLED = tuple(row.name for row in _ROWS if row.labelled)
"""The kinds whose rows may have a label."""
SEVERAL = tuple(row.name for row in _ROWS if row.responses == GROUP)
"""The kinds with several responses to a prompt."""
