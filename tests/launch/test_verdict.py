from __future__ import annotations

import signal

import pytest

from alignc.launch.ranks import Rank, hung
from alignc.launch.verdict import Outcome, diagnostic, verdict

CRASH = diagnostic("E806", "the job crashed")
LOST = diagnostic("E806", "connection closed by peer")
NAN = diagnostic("E801", "the loss is nan")


def ended(rank: int, code: int, at: float, *diagnostics: dict) -> Rank:
    return Rank(rank, pid=100 + rank, exit=code, diagnostics=diagnostics, ended=at)


@pytest.mark.parametrize("code", [0, 75, 130])
def test_the_jobs_own_word_counts(code: int):
    assert verdict({"exit": code}, [], size=1, returned=1) == Outcome(code)


def test_a_failure_is_told():
    status = {"exit": 4, "diagnostics": [NAN]}
    assert verdict(status, [ended(0, 4, 1.0, NAN)], size=1, returned=1) == Outcome(4, (NAN,))


def test_the_first_of_two_crashes_is_the_cause():
    ranks = [ended(0, 4, 2.0, LOST), ended(1, 3, 1.0, CRASH)]
    assert verdict({"exit": 4, "diagnostics": [LOST]}, ranks, size=2, returned=1) == Outcome(3, (CRASH,))


def test_a_dead_rank_is_named_before_what_it_caused():
    dead = Rank(1, pid=101)
    outcome = verdict({"exit": 4}, [ended(0, 4, 2.0, LOST), dead], size=2, returned=1, dead=dead)
    assert outcome.exit_code == 4
    assert outcome.diagnostics[0]["code"] == "E803"
    assert outcome.diagnostics[0]["message"].startswith("rank 1 of 2 died (process 101)")


def test_a_hung_rank_is_named():
    outcome = verdict({}, [], size=2, returned=-9, hung=Rank(1, pid=7, quiet=61.0))
    assert outcome.diagnostics[0]["code"] == "E804"
    assert "rank 1 of 2 hangs (process 7): no progress for 61 s" in outcome.diagnostics[0]["message"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_before_the_first_step(signum: int, code: int):
    assert verdict({}, [], size=1, returned=-15, signum=signum) == Outcome(code)
    dead = Rank(0, pid=1)
    assert verdict({}, [dead], size=1, returned=-15, signum=signum, dead=dead) == Outcome(code)


def test_an_end_without_a_reason():
    outcome = verdict({}, [], size=1, returned=2, log="/o/run.log")
    assert outcome.exit_code == 4
    assert outcome.diagnostics[0]["code"] == "E806"
    assert outcome.diagnostics[0]["why"] == "see /o/run.log"


def test_nobody_hangs_while_all_go_on():
    assert hung([Rank(0, 1, beats=5, quiet=1.0), Rank(1, 2, beats=5, quiet=2.0)], timeout=3) is None


def test_the_hung_rank_is_the_one_behind():
    ranks = [Rank(0, 1, beats=6, quiet=9.0), Rank(1, 2, beats=5, quiet=8.0)]
    assert hung(ranks, timeout=3) == ranks[1]


def test_a_stopped_process_is_the_one():
    ranks = [Rank(0, 1, beats=5, quiet=9.0), Rank(1, 2, beats=6, quiet=8.0, stopped=True)]
    assert hung(ranks, timeout=3) == ranks[1]


def test_ended_ranks_do_not_hang():
    assert hung([Rank(0, 1, exit=0, quiet=99.0)], timeout=3) is None
