"""Jobs run through with the oldest and with the newest packages; slow, so by hand: `pytest -m long benchmarks`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.compatibility import ENDS, examined


@pytest.mark.long
@pytest.mark.parametrize("end", ENDS)
def test_every_check_passes_at_an_end_of_the_ranges(end: str, tmp_path: Path):
    assert [row["check"] for row in examined(tmp_path, end)["checks"] if not row["ok"]] == []
