"""The record of runs at both ends of the ranges is one of the ranges as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alignc.contract.versions import EXTRAS, PACKAGES, release, within
from alignc.docs.compatibility_page import MEANS, compatibility_page, record
from benchmarks.compatibility import ENDS, TESTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    return record()["runs"]


def test_both_ends_were_run_and_passed(runs: dict[str, Any]):
    assert tuple(runs) == ENDS
    for run in runs.values():
        assert [row["check"] for row in run["checks"] if not row["ok"]] == []
        assert len(run["checks"]) == 4


def test_the_oldest_run_had_the_floors(runs: dict[str, Any]):
    """The range of a package is not changed without a run."""
    versions = runs["oldest"]["versions"]
    assert {name: release(versions[name]) for name in PACKAGES} == {
        name: release(package.floor) for name, package in PACKAGES.items()
    }


def test_the_newest_run_was_in_the_ranges_and_not_older_than_the_tests(runs: dict[str, Any]):
    for name, package in PACKAGES.items():
        version = runs["newest"]["versions"][name]
        assert within(version, package.span)
        assert release(version) >= release(package.tested)


def test_what_was_tried_below_a_range_lies_below_it():
    for row in record()["below"]:
        assert release(row["version"]) < release(PACKAGES[row["package"]].floor)


def test_every_extra_and_every_test_of_a_run_is_there():
    assert MEANS.keys() == EXTRAS.keys()
    assert [path for path in TESTS if not (ROOT / path).exists()] == []


def test_a_failed_check_is_shown_as_one():
    row = {"check": "GRPO", "ok": False, "seconds": 3}
    run = {"date": "2026-01-01", "python": "3.11", "cores": 2, "checks": [row]}
    run["versions"] = dict.fromkeys(PACKAGES, "1")
    assert "| oldest | 2026-01-01 | GRPO | failed |" in compatibility_page(
        {"runs": {"oldest": run}, "below": []}
    )
