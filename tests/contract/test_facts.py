"""Facts that compiler and job share stand once: a literal of one is found in its own module alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import alignc
from alignc.contract.kinds import GIVEN, KINDS, ONLINE, SEVERAL

PACKAGE = Path(alignc.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}

HOMES = {
    "which kinds are online": (r'"prompts", *"self_play"', {"contract/kinds.py"}),
    "files of a run": (
        r'"(metrics|timing|rollouts|quarantine)\.jsonl"|"(status|run|job|trainer_state)\.json"|"(run|crash)\.log"'
        r'|"\.ranks"|"report\.html"|f"\.?step-\{|/ "(checkpoints|model|job|tensorboard)"',
        {"contract/files.py"},
    ),
    "exit codes": (r"(?<![.\d])(75|130)\b", {"contract/exits.py"}),
    "sizes of tiles and chunks": (
        r"256 ?(<<|\*) ?(20|2)|32 ?(<<|\*) ?(20|2\*)|16_?384",
        {"contract/sizes.py"},
    ),
    "metrics of the parts of a reward": (r"rewards/\{", {"contract/rewards.py", "lower/metrics.py"}),
    "environment of a job": (
        r'"ALIGNC_(ALLOW|FUNCTIONS|LAUNCHED)"',
        # the worker of a user's function is a script that imports the standard library alone
        {"contract/environment.py", "runtime/reward/worker.py"},
    ),
    "the folder of caches": (r"get\(\"(ALIGNC_CACHE|XDG_CACHE_HOME)", {"contract/cache.py"}),
}


@pytest.mark.parametrize("fact", HOMES)
def test_a_fact_stands_in_one_module(fact: str) -> None:
    pattern, homes = HOMES[fact]
    assert {name for name, text in SOURCES.items() if re.search(pattern, text)} <= homes


def test_the_kinds_are_those_that_a_spec_has() -> None:
    from alignc.spec.rows import Demonstrations, Marked, Pairwise, Prompts, Scored, SelfPlay

    models = (Pairwise, Marked, Demonstrations, Scored, Prompts, SelfPlay)
    named = [model.model_fields["kind"].annotation.__args__[0] for model in models]
    assert list(KINDS) == named == [*GIVEN, *ONLINE]
    assert SEVERAL == ("scored", "prompts", "self_play")
