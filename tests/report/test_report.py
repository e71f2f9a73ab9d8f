from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from alignc.diagnostics import DiagnosticError
from alignc.report import page, read_run, summary
from alignc.report.curves import HEIGHT, WIDTH, Line, chart, metrics_of, number, thinned, ticks

EVIL = "<script>alert('&\"')</script>"


def run_folder(folder: Path, name: str = "one", beta: float = 0.1, steps: int = 3, **status: object) -> Path:
    (folder / "job").mkdir(parents=True)
    job = {
        "name": name,
        "spec": {"name": name, "objective": {"beta": beta}, "train": {"seed": 42}},
        "origins": {"name": "s.yaml:1:7", "objective.beta": "s.yaml:2:9"},
        "plan": {"step0": {"loss": 0.5}},
        "formula": {"text": "L = x\nx = y", "latex": "L = x"},
    }
    (folder / "job" / "job.json").write_text(json.dumps(job))
    rows = [
        {"step": i, "loss": 0.5 / i, "objective/scores": i, "objective/kl": i / 10}
        for i in range(1, steps + 1)
    ]
    rows[-1]["eval_loss"] = 0.25
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 9, "lo')
    (folder / "timing.jsonl").write_text('{"step": 1, "seconds": 1.5}\n' * 2)
    (folder / "status.json").write_text(json.dumps({"finished": True, "exit": 0, "diagnostics": []} | status))
    return folder


def rollouts(folder: Path) -> None:
    known = {"step": 2, "row": 0, "sample": 0, "origin": "p:1", "ended": False}
    lines = [
        {"rollout": 1, "prompt": "old", "completion": "stale", "reward": 0.0, **known},
        {"rollout": 2, "prompt": EVIL, "completion": "line\nbreak\x07", "reward": 0.75, **known},
    ]
    (folder / "rollouts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_run_is_read_with_its_torn_line_left_out(tmp_path: Path):
    run = read_run(run_folder(tmp_path / "one"))
    assert (run.name, run.state, run.step, run.seconds) == ("one", "finished", 3, 3.0)
    assert run.series("loss") == [(1.0, 0.5), (2.0, 0.25), (3.0, 0.5 / 3)]
    assert run.last("eval_loss") == 0.25


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"finished": False, "exit": 4}, "failed (exit 4)"),
        ({"finished": False, "exit": 75}, "interrupted"),
        ({"finished": False, "exit": None}, "not ended"),
    ],
)
def test_states(tmp_path: Path, status: dict[str, object], state: str):
    assert read_run(run_folder(tmp_path / "one", **status)).state == state


def test_where_there_is_no_run(tmp_path: Path):
    with pytest.raises(DiagnosticError, match="no run in"):
        read_run(tmp_path)


def test_loss_reward_and_kl_come_first(tmp_path: Path):
    names = metrics_of([read_run(run_folder(tmp_path / "one"))])
    assert names == ["loss", "objective/scores", "objective/kl"]


def test_nothing_of_a_run_enters_the_page_as_markup(tmp_path: Path):
    found = [{"severity": "error", "code": "E801", "message": EVIL, "why": EVIL}]
    folder = run_folder(tmp_path / "one", name=EVIL, finished=False, exit=4, diagnostics=found)
    rollouts(folder)
    text = page([read_run(folder)])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
    assert "https://" not in text
    assert re.findall(r'(?:src|href)="', text) == []
    assert "default-src &#x27;none" in text or "default-src 'none'" in text
    assert "E801" in text


def test_the_page_holds_what_a_reader_looks_for(tmp_path: Path):
    folder = run_folder(tmp_path / "one")
    rollouts(folder)
    text = page([read_run(folder)])
    for word in (
        "finished",
        "s.yaml:2:9",
        "<math",
        "line\nbreak",
        "0.75",
        "\\x07",
        "objective/kl",
        "must start at 0.5",
    ):
        assert word in text, word
    assert text.count("<svg") == 4


def test_runs_are_drawn_over_one_another(tmp_path: Path):
    runs = [read_run(run_folder(tmp_path / name, name, beta)) for name, beta in (("a", 0.1), ("b", 0.2))]
    text = page(runs)
    assert text.count("<svg") == 4
    assert 'class="c0"' in text
    assert 'class="c1"' in text
    table = text[text.index("These settings differ between the runs") :]
    assert "objective.beta" in table
    assert "train.seed" not in table


def test_pages_are_well_formed(tmp_path: Path):
    folder = run_folder(tmp_path / "one")
    rollouts(folder)
    text = page([read_run(folder)])
    ElementTree.fromstring(re.sub(r"<meta[^>]*>", "", text.split("\n", 1)[1]))


def test_points_lie_where_their_values_say():
    drawn = chart("m", [Line("r", [(0.0, 0.0), (10.0, 1.0)], 0)])
    [points] = re.findall(r'points="([^"]*)"', drawn)
    (x0, y0), (x1, y1) = ([float(v) for v in p.split(",")] for p in points.split())
    assert (x0, x1) == (52.0, WIDTH - 10.0)
    # 0 and 1 lie 6/112 of the height inside the frame of 10 above and 26 below
    inset = (HEIGHT - 36) * 0.06 / 1.12
    assert y0 == pytest.approx(HEIGHT - 26 - inset, abs=0.06)
    assert y1 == pytest.approx(10 + inset, abs=0.06)


@pytest.mark.parametrize(
    "points", [[(1.0, 2.0)], [(1.0, 2.0), (2.0, 2.0)], [(1.0, 0.0), (2.0, 1e-300)], [(1.0, -1e250)]]
)
def test_any_finite_curve_can_be_drawn(points: list[tuple[float, float]]):
    ElementTree.fromstring(chart("m", [Line("r", points, 0)]))


def test_ticks_are_round():
    assert ticks(0.0, 1.0) == [0.0, 0.5, 1.0] or ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.07, 0.01)[-1] == 0.0
    assert ticks(1, 38) == [10.0, 20.0, 30.0]


def test_many_points_are_averaged():
    assert thinned([(float(i), 1.0) for i in range(1000)])[0] == (2.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.69314, "0.6931"), (1e-5, "1e-5"), (3.2e6, "3.2e6"), (-12.3456, "-12.35")],
)
def test_numbers_are_short(value: float, text: str):
    assert number(value) == text


def test_the_summary_names_first_last_and_held_out(tmp_path: Path):
    told = summary([read_run(run_folder(tmp_path / "one"))])
    assert "one: finished, 3 steps" in told
    assert re.search(r"loss +0\.5 → 0\.1667, held out 0\.25", told)


def test_the_losses_of_several_terms_are_drawn_below_one_another(tmp_path: Path):
    folder = run_folder(tmp_path / "one")
    job = json.loads((folder / "job" / "job.json").read_text())
    job["formula"] = {
        "text": "L = L_a + L_b\nL_a = x\nL_b = y\nx = 1",
        "latex": r"L = L_a + L_b \\ L_a = x \\ L_b = y",
    }
    (folder / "job" / "job.json").write_text(json.dumps(job))
    shown = page([read_run(folder)])
    assert shown.count('display="block"') == 3
    assert '<pre class="quiet">x = 1</pre>' in shown
