"""A function in a process of its own: what it may do, and what becomes of what it must not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.environment import FOLDERS
from alignc.contract.failure import Failure
from alignc.emit.folder import JobFolder, runtime_files, write
from alignc.runtime.reward import Sample, build_reward
from alignc.runtime.reward.combine import Reward
from alignc.runtime.reward.function import Expression

from ..fixtures import ROOT

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _beside_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDERS, str(HERE))


def reward(function: str, timeout: float = 1.0) -> Reward:
    name = f"judges:{function}"
    config = {"kind": "function", "name": name, "timeout": timeout, "weight": 1.0}
    return build_reward(config, allowed=[name], device="cpu")


def samples(*completions: str, **fields: Any) -> list[Sample]:
    return [
        Sample("p", text, f"rows.jsonl:{n // 2 + 1}", n % 2, fields) for n, text in enumerate(completions)
    ]


def failure(function: str, *completions: str, timeout: float = 1.0) -> Failure:
    with reward(function, timeout) as judge, pytest.raises(Failure) as caught:
        judge(samples(*completions))
    return caught.value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Tell whether a process that was sent a signal has ended, within a while."""
    until = time.monotonic() + 20
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_scores_come_back_in_order_and_by_name():
    with reward("length") as judge:
        scores = judge(samples("a", "bbb", ""))
        assert scores.values == [1.0, 3.0, 0.0]
        assert scores.parts == {"judges:length": [1.0, 3.0, 0.0]}
        assert judge([]).values == []


def test_an_expression_that_backtracks_without_end_is_stopped_and_names_the_answer():
    with closing(Expression(r"^(a+)+$", timeout=0.5)) as judge:
        assert judge(samples("aaa", "ab", "\n")) == [1.0, 0.0, 0.0]
        began = time.monotonic()
        with pytest.raises(Failure, match=r"rows.jsonl:2, sample 1") as caught:
            judge(samples("a", "b", "aa", "a" * 60 + "!", "a"))
        assert time.monotonic() - began < 20  # it would take years
        assert caught.value.code == "E808"
        assert "the regular expression `^(a+)+$` did not answer within 0.5 s" in caught.value.message
        assert judge(samples("a")) == [1.0]


def test_what_it_prints_and_reads_does_not_disturb(capfd: pytest.CaptureFixture[str]):
    with reward("noisy") as judge:
        assert judge(samples("ab", "c")).values == [2.0, 1.0]
    shown = capfd.readouterr()
    assert [f'{{"scores": [{n}]}}' in shown.err for n in (99, 98, 97)] == [True, True, True]
    assert shown.out == ""


def test_columns_are_passed_by_name():
    with reward("columns_of") as judge:
        assert judge(samples("x", "y", answer="x", other=1)).values == [1.0, 0.0]


def test_arrays_and_large_texts_pass():
    with reward("boxed") as judge:
        assert judge(samples("a", "b")).values == [1.0, 2.5]
    with reward("length", timeout=5) as judge:
        assert judge(samples("é" * 300_000, "\ud800")).values == [300_000.0, 1.0]


@pytest.mark.parametrize(
    ("bad", "code", "said"),
    [
        ("raise", "E807", "raised ValueError: no such answer"),
        ("exit", "E807", "asked its process to exit (7)"),
        ("end", "E807", "ended its process (exit status 9)"),
        ("signal", "E807", "ended its process (signal 9)"),
        ("none", "E809", "returned None"),
        ("text", "E809", "returned a str, not a list"),
        ("few", "E809", "returned 0 numbers for 1"),
        ("nan", "E809", "returned nan, which is not finite"),
        ("inf", "E809", "returned -inf, which is not finite"),
        ("word", "E809", "returned a value that is not a finite number: str"),
        ("big", "E809", "not a finite number: a number too large"),
    ],
)
def test_a_failure_names_its_sample(bad: str, code: str, said: str):
    found = failure("fails", "fine", "fine", "fine", bad, "fine")
    assert found.code == code
    assert found.message.startswith("the reward function `judges:fails` ")
    assert said in found.message
    assert found.message.endswith("(rows.jsonl:2, sample 1)")
    assert f"the response is '{bad}'" in str(found.why)


def test_an_exception_tells_its_place():
    line = next(
        n for n, text in enumerate((HERE / "judges.py").read_text().splitlines(), 1) if "raise V" in text
    )
    assert f"{HERE / 'judges.py'}:{line}" in str(failure("fails", "raise").why)


def test_a_hang_ends_at_the_deadline_and_names_its_sample():
    began = time.monotonic()
    found = failure("fails", "fine", "hang", "fine")
    assert time.monotonic() - began < 20  # of 60
    assert found.code == "E808"
    assert found.message == (
        "the reward function `judges:fails` did not answer within 1 s (rows.jsonl:1, sample 1)"
    )


def test_many_that_are_slow_together_are_blamed_together():
    found = failure("slow", *["a"] * 12)
    assert found.code == "E808"
    assert found.message.endswith("(12 of them, rows.jsonl:1, sample 0 to rows.jsonl:6, sample 1)")


def test_what_fails_only_together_is_blamed_together():
    found = failure("together", "a", "b")
    assert "one at a time (2 of them, rows.jsonl:1, sample 0 to rows.jsonl:1, sample 1)" in found.message


def test_a_worker_serves_many_calls_and_is_started_again_after_it_was_lost():
    with reward("counts_calls") as judge:
        first = judge(samples("a")).values
        assert judge(samples("b")).values == first
    with reward("dies_after") as judge:
        first = judge(samples("a")).values
        time.sleep(1.0)
        assert judge(samples("b")).values != first
    with reward("fails") as judge:
        with pytest.raises(Failure):
            judge(samples("hang"))
        assert judge(samples("fine")).values == [1.0]


def test_killing_takes_what_the_function_started(tmp_path: Path):
    failure("leaves_children", str(tmp_path / "child"), timeout=0.5)
    assert gone(int((tmp_path / "child").read_text()))


def test_closing_leaves_no_process():
    judge = reward("counts_calls")
    pid = int(judge(samples("a")).values[0])
    assert alive(pid)
    judge.close()
    assert not alive(pid)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("judges:absent", "no attribute 'absent'"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("judges:NONE_LIKE", "is no function but int"),
        ("hostile:raises", "raised KeyError: 'at import'"),
        ("hostile_exit:f", "ended the process (exit status 5)"),
    ],
)
def test_what_cannot_be_loaded(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "hostile.py").write_text("raise KeyError('at import')\n")
    (tmp_path / "hostile_exit.py").write_text("import os\nos._exit(5)\n")
    monkeypatch.setenv(FOLDERS, os.pathsep.join([str(HERE), str(tmp_path)]))
    config = {"kind": "function", "name": name, "timeout": 1.0}
    with build_reward(config, allowed=[name], device="cpu") as judge, pytest.raises(Failure) as caught:
        judge(samples("a"))
    assert caught.value.code == "E612"
    assert caught.value.exit_code == 3
    assert said in str(caught.value.why)


def test_a_module_that_hangs_when_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    monkeypatch.setattr("alignc.runtime.reward.process.STARTING", 0.2)
    config = {"kind": "function", "name": "sleeper:f", "timeout": 0.5}
    with build_reward(config, allowed=["sleeper:f"], device="cpu") as judge, pytest.raises(Failure) as caught:
        judge(samples("a"))
    assert caught.value.code == "E612"


def test_the_working_directory_comes_before_the_spec_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "judges.py").write_text(
        "def length(completions, **rest):\n    return [-1.0] * len(completions)\n"
    )
    monkeypatch.chdir(tmp_path)
    with reward("length") as judge:
        assert judge(samples("abc")).values == [-1.0]


def test_our_own_files_hide_no_module_of_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The worker stands in a folder with files of common names; a function's own imports must not find them."""
    (tmp_path / "process.py").write_text("WORTH = 4.0\n")
    (tmp_path / "own.py").write_text(
        "import process\ndef f(completions, **rest):\n    return [process.WORTH]\n"
    )
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    config = {"kind": "function", "name": "own:f", "timeout": 2.0}
    with build_reward(config, allowed=["own:f"], device="cpu") as judge:
        assert judge(samples("abc")).values == [4.0]


def test_a_function_that_was_not_allowed_is_not_started():
    config = {"kind": "function", "name": "judges:length", "timeout": 1.0}
    with pytest.raises(Failure) as caught:
        build_reward(config, allowed=["judges:other"], device="cpu")
    assert caught.value.code == "E610"
    assert "--allow-function judges:length" in str(caught.value.help)
    assert 'functions = ["judges:length"]' in str(caught.value.help)


ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alignc":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from bundled.runtime.reward import Sample, build_reward
config = {"kind": "function", "name": "judges:length", "timeout": 2.0}
with build_reward(config, allowed=["judges:length"], device="cpu") as judge:
    print(judge([Sample("p", "four")]).values)
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    write(JobFolder(dict(runtime_files())), tmp_path)
    return tmp_path


def test_a_copied_runtime_has_its_worker(copied: Path):
    variables = {**os.environ, "PYTHONPATH": str(copied), FOLDERS: str(HERE)}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, env=variables, cwd=copied
    )
    assert done.stdout == "[4.0]\n", done.stderr


ORPHAN = """
import os, signal, sys, threading
from alignc.runtime.reward import Sample, build_reward
config = {"kind": "function", "name": "judges:leaves_children", "timeout": 60.0}
judge = build_reward(config, allowed=["judges:leaves_children"], device="cpu")
def end():
    print(judge.parts[0][2].process.running.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Timer(1.0, end).start()
judge([Sample("p", sys.argv[1])])
"""


def test_a_worker_dies_with_a_job_that_is_killed(tmp_path: Path):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), FOLDERS: str(HERE)}
    with (tmp_path / "shown").open("w") as shown:
        done = subprocess.run(
            [sys.executable, "-c", ORPHAN, str(tmp_path / "child")],
            stdout=shown,
            stderr=subprocess.DEVNULL,
            env=variables,
        )
    assert done.returncode == -9
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert gone(int((tmp_path / "shown").read_text()))
