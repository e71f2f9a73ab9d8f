from __future__ import annotations

import json
from pathlib import Path

from .conftest import Alignc


def leave(name: str) -> Path:
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 0.5}) + "\n")
    return folder


def test_a_report_stands_in_the_run(alignc: Alignc, here: Path):
    folder = leave("spec")
    done = alignc("report", "spec.yaml")
    assert done.code == 0
    assert "spec: not ended, 1 steps" in done.out
    assert "<svg" in (folder / "report.html").read_text()


def test_several_runs_share_a_page(alignc: Alignc, here: Path):
    done = alignc("report", leave("a"), leave("b"))
    assert done.code == 0
    assert "2 runs" in Path("report.html").read_text()
    assert alignc("report", "runs/a", "-o", "there/page.html").code == 0
    assert Path("there/page.html").is_file()


def test_a_folder_without_a_run_is_told(alignc: Alignc, here: Path):
    done = alignc("report", "runs/none")
    assert done.code == 1
    assert "E008" in done.err
