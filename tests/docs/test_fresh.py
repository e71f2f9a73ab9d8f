"""The generated pages are those in the checkout, and say what they should."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignc.docs import generated, stale
from alignc.docs.__main__ import main
from alignc.load.preset import built_in, preset_names
from alignc.schema.describe import fields_below

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return generated()


def test_every_page_is_fresh(pages: dict[str, str]) -> None:
    assert stale(pages, ROOT) == [], "run `make docs`"


def test_every_preset_has_a_page_with_its_parameters(pages: dict[str, str]) -> None:
    for name in preset_names():
        page = pages[f"docs/methods/{name}.md"]
        assert f"objective: {{preset: {name}}}" in page
        assert all(f"| `{parameter}` |" in page for parameter in built_in(name).parameters)
        assert f"]({name}.md)" in pages["docs/methods/README.md"]


def test_every_field_stands_in_the_reference(pages: dict[str, str]) -> None:
    fields = {field.path for field in fields_below()}
    shown = {path for path in fields if f"| `{path}` |" in pages["docs/spec.md"]}
    repeated = re.findall(r"^`(.+)` has the fields of `.+`\.$", pages["docs/spec.md"], re.M)
    referred = {path for path in fields - shown if any(path.startswith(f"{prefix}.") for prefix in repeated)}
    assert fields == shown | referred
    assert {"train.learning_rate", "data.reward.weight", "data.oracle.scale"} <= shown
    assert "model.reference.path.run" in referred


def test_check_names_what_is_stale(tmp_path: Path) -> None:
    for folder in ("docs", "schemas"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    run = CliRunner()
    assert run.invoke(main, ["--check", "--root", str(tmp_path)]).exit_code == 0
    (tmp_path / "docs/spec.md").write_text("old")
    (tmp_path / "docs/methods/gone.md").write_text("old")
    checked = run.invoke(main, ["--check", "--root", str(tmp_path)])
    assert checked.exit_code == 1
    assert "stale docs/methods/gone.md\nstale docs/spec.md\n" in checked.output
    assert run.invoke(main, ["--root", str(tmp_path)]).exit_code == 0
    assert run.invoke(main, ["--check", "--root", str(tmp_path)]).exit_code == 0
    assert not (tmp_path / "docs/methods/gone.md").exists()
