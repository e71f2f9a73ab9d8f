"""Templates, presets and schemas travel: an unpacked wheel compiles what a checkout compiles."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILE = """
import json, sys
sys.path[:] = [*sys.argv[1:3], *(p for p in sys.path if p)]
import alignc
from alignc.api import lowered
from alignc.load.preset import preset_names
folder = lowered(sys.argv[3]).folder(standalone=True)
print(json.dumps([alignc.__file__, folder.fingerprint, preset_names()]))
"""


def compiled_from(source: Path) -> tuple[str, str, list[str]]:
    """Compile an example with the package found in a folder; `-S` keeps an editable install out."""
    packages, spec = sysconfig.get_paths()["purelib"], ROOT / "examples" / "dpo.yaml"
    line = [sys.executable, "-S", "-c", COMPILE, str(source), packages, str(spec)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT)
    where, fingerprint, presets = json.loads(done.stdout)
    return where, fingerprint, presets


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_compiles_what_the_checkout_compiles(unpacked: Path) -> None:
    where, fingerprint, presets = compiled_from(unpacked)
    assert Path(where).is_relative_to(unpacked)
    at_home, own, known = compiled_from(ROOT)
    assert Path(at_home).is_relative_to(ROOT)
    assert (fingerprint, presets) == (own, known)
    assert "dpo" in presets


def test_a_wheel_holds_no_tests_and_all_templates(unpacked: Path) -> None:
    templates = {path.name for path in (ROOT / "templates").glob("*.j2")}
    assert {path.name for path in (unpacked / "alignc" / "_templates").glob("*.j2")} == templates
    assert not (unpacked / "tests").exists()
    assert (unpacked / "alignc" / "_schemas" / "job.schema.json").is_file()
