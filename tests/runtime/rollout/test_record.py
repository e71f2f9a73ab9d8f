from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alignc.runtime.rollout.record import ROLLOUTS, Record, RolloutLog, read_rollouts

FIRST = Record(0, 0, 3, 0, "p.jsonl:4", "2+2=", "4 é\u2028\n", True, reward=1.0, parts={"exact_number": 1.0})
OTHERS = [
    replace(FIRST, sample=1, completion="5", ended=False, reward=None, win_rate=0.25, parts={}),
    replace(FIRST, rollout=1, step=4),
    replace(FIRST, rollout=2, step=8),
]
ALL = [FIRST, *OTHERS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with RolloutLog(tmp_path / "run", after=-1) as log:
        log.write(ALL[:2])
        log.write(ALL[2:])
        log.sync()
    return tmp_path / "run" / ROLLOUTS


def test_what_is_written_is_read(path: Path):
    assert list(read_rollouts(path)) == ALL
    assert list(read_rollouts(path, wanted={0, 2})) == [*ALL[:2], ALL[3]]


def test_a_line_is_a_json_object_with_the_promised_keys(path: Path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = {"rollout", "step", "row", "sample", "origin", "prompt", "completion", "ended", "parts"}
    assert [set(line) - keys for line in lines] == [{"reward"}, {"win_rate"}, {"reward"}, {"reward"}]
    assert lines[0]["parts"] == {"exact_number": 1.0}


def test_a_record_is_in_the_file_before_the_log_is_closed(tmp_path: Path):
    with RolloutLog(tmp_path, after=-1) as log:
        log.write([FIRST])
        assert list(read_rollouts(tmp_path / ROLLOUTS)) == [FIRST]


@pytest.mark.parametrize(("after", "kept"), [(-1, 0), (0, 2), (1, 3), (2, 4), (9, 4)])
def test_a_resumed_run_keeps_what_its_checkpoint_has_seen(path: Path, after: int, kept: int):
    whole = path.read_bytes().splitlines(keepends=True)
    RolloutLog(path.parent, after=after).close()
    assert path.read_bytes() == b"".join(whole[:kept])


def test_a_resumed_run_writes_the_same_file(path: Path):
    whole = path.read_bytes()
    with RolloutLog(path.parent, after=0) as log:
        log.write(ALL[2:])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("lost", [1, 2, 30])
def test_a_half_written_line_is_dropped(path: Path, lost: int):
    path.write_bytes(path.read_bytes()[:-lost])
    assert list(read_rollouts(path)) == ALL[:3]
    with RolloutLog(path.parent, after=2) as log:
        log.write(ALL[3:])
    assert list(read_rollouts(path)) == ALL


@pytest.mark.parametrize("broken", [b"{}\n", b"[]\n", b"null\n", b"\x00\xff\n", b'{"rollout": 0}\n'])
def test_nothing_behind_a_broken_line_is_believed(path: Path, broken: bytes):
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, broken, *rest]))
    assert list(read_rollouts(path)) == ALL[:1]
    RolloutLog(path.parent, after=9).close()
    assert path.read_bytes() == first


def test_keys_of_a_later_version_are_passed_over(tmp_path: Path):
    path = tmp_path / ROLLOUTS
    with RolloutLog(tmp_path, after=-1) as log:
        log.write([FIRST])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokens": [1]}) + "\n")
    assert list(read_rollouts(path)) == [FIRST]


def test_where_there_is_no_file_there_are_no_records(tmp_path: Path):
    assert list(read_rollouts(tmp_path / "none" / ROLLOUTS)) == []


def test_a_reward_that_is_no_number_is_not_written(tmp_path: Path):
    with RolloutLog(tmp_path, after=-1) as log, pytest.raises(ValueError, match="JSON"):
        log.write([replace(FIRST, reward=float("nan"))])


def test_reports_read_the_file_without_torch():
    import subprocess
    import sys

    code = "import sys, alignc.runtime.rollout.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
