from __future__ import annotations

import threading

import pytest

from alignc.runtime.base import progress
from alignc.runtime.base.progress import Progress, line_of


def test_a_line_has_share_and_eta():
    # 120 rows took 11.25 s: the other 480 take 45 s
    assert line_of("reference", "rows", 120, 600, 11.25) == "reference  120/600 rows  20 %  eta 0:45"


def test_rows_that_were_there_do_not_count_as_speed():
    # 100 of 120 came from the cache: 20 rows in 10 s, so 480 take 240 s
    assert line_of("reference", "rows", 120, 600, 10.0, free=100).endswith("20 %  eta 4:00")
    assert line_of("reference", "rows", 120, 600, 10.0, free=120).endswith("20 %")


def test_hours_are_written():
    assert line_of("sampling", "prompts", 1, 3, 2700.0).endswith("eta 1:30:00")


def test_lines_come_by_the_clock_while_one_piece_takes_long(monkeypatch: pytest.MonkeyPatch):
    lines: list[str] = []
    told = threading.Event()

    def say(text: str) -> None:
        lines.append(text)
        told.set()

    monkeypatch.setattr(progress, "say", say)
    with Progress("sampling", "prompts", 4, seconds=0.01) as counter:
        assert told.wait(30)
        told.clear()
        counter.add(2)
        assert told.wait(30)
    assert lines[0] == "sampling  0/4 prompts  0 %"
    assert lines[1].startswith("sampling  2/4 prompts  50 %  eta 0:0")
    assert len(lines) == 2  # what has not changed is not said again


def test_short_work_and_other_ranks_say_nothing(capsys: pytest.CaptureFixture[str]):
    with Progress("reference", "rows", 4) as counter:
        counter.add(4)
    with Progress("reference", "rows", 4, shown=False, seconds=0.001) as counter:
        threading.Event().wait(0.02)
    assert capsys.readouterr().err == ""
