"""The job folder: the same bytes for the same spec, no text of a spec in source, files that tools accept."""

from __future__ import annotations

import ast
import json
import os
import py_compile
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import StrictUndefined

from alignc import api
from alignc.api import lowered
from alignc.diagnostics import DiagnosticError
from alignc.emit.render import _environment, templates_folder

from ..variants import ALL, Variant, compiled

PYTHON = [sys.executable]
SPEC = """name: job
objective: {preset: r_dpo, beta: 0.2}
model: {policy: {init: llama, tokenizer: bytes}}
data: {kind: pairwise, source: x/y, columns: {prompt: question}}
train: {learning_rate: 1e-6}
output_dir: /runs/job
"""


def test_the_same_spec_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    """Whatever the hash seed, working directory, locale and time zone; files are named as seen from the spec."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    (tmp_path / "elsewhere").mkdir()
    code = "import sys; from alignc.api import compile; compile(sys.argv[1], sys.argv[2])"
    folders = []
    for number, (seed, zone, lang, where) in enumerate(
        [("0", "UTC", "C", tmp_path), ("77", "Asia/Kolkata", "tr_TR.UTF-8", tmp_path / "elsewhere")]
    ):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": lang, "LANG": lang}
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        folder = tmp_path / f"job{number}"
        name = os.path.relpath(spec, where)
        subprocess.run([*PYTHON, "-c", code, name, str(folder)], cwd=where, env=env, check=True)
        folders.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert folders[0].keys() == folders[1].keys()
    for name, content in folders[0].items():
        assert content == folders[1][name], name


HOSTILE = [
    '"""\nimport os\nos.system("touch owned")\n"""',
    "'; touch owned; echo '",
    "$(touch owned)",
    "`touch owned`",
    "{{ 7 * 7 }}{% raw %}",
    "a\\\nb",
    "\u2028\u202e#",
    '"); raise SystemExit(3) #',
    "\nEOF\n",
]
PLAIN = {
    "name": "name",
    "objective": {
        "terms": [
            {"name": "pref", "kind": "preference", "score": {"of": "log_ratio", "beta": 0.1}},
            {"name": "nll", "kind": "likelihood", "on": "chosen", "weight": 0.3},
        ]
    },
    "model": {
        "policy": "some/model",
        "revision": "main",
        "reference": {"kind": "path", "path": "other/model"},
    },
    "data": {
        "kind": "pairwise",
        "source": "some/data",
        "split": "train",
        "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
    "output_dir": "/runs/out",
}
LEAVES = [
    ("name",),
    ("model", "policy"),
    ("model", "revision"),
    ("model", "reference", "path"),
    ("data", "source"),
    ("data", "split"),
    ("data", "columns", "prompt"),
    ("data", "columns", "chosen"),
    ("output_dir",),
]


def changed(data: Any, path: tuple[str, ...], value: str) -> Any:
    return {**data, path[0]: changed(data[path[0]], path[1:], value)} if path else value


def files(spec: dict[str, Any], folder: Path) -> dict[str, str]:
    file = folder / "spec.yaml"
    file.write_text(json.dumps(spec), "utf-8")
    return dict(lowered(file, files=False).folder().files)


def source(emitted: dict[str, str]) -> dict[str, str]:
    return {n: ast.dump(ast.parse(t.encode())) if n.endswith(".py") else t for n, t in emitted.items()}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_no_text_of_a_spec_enters_source(path: tuple[str, ...], tmp_path: Path) -> None:
    plain = files(PLAIN, tmp_path)
    expected = source(plain)
    for text in HOSTILE:
        emitted = files(changed(PLAIN, path, text), tmp_path)
        found = source(emitted)
        assert {n: found[n] for n in found if n != "job.json"} == {
            n: t for n, t in expected.items() if n != "job.json"
        }
        assert {n: t for n, t in emitted.items() if n.endswith((".py", ".sh", ".md"))} == {
            n: t for n, t in plain.items() if n.endswith((".py", ".sh", ".md"))
        }
        assert json.loads(emitted["job.json"])


def test_no_name_of_a_users_preset_enters_source(tmp_path: Path) -> None:
    """Parameters of a preset of one's own are numbers to the loss; names, titles and symbols are not printed."""
    emitted = [mine(tmp_path, word, text) for word, text in (("alpha", "plain"), ("import_os", HOSTILE[0]))]
    first, second = ({n: t for n, t in e.items() if n.endswith((".py", ".sh"))} for e in emitted)
    assert first == second


def mine(folder: Path, word: str, text: str, symbol: str = "κ") -> dict[str, str]:
    """Compile a preset of one's own with a text in every place that takes one."""
    quoted = json.dumps(text)
    (folder / "mine.yaml").write_text(
        f"preset: mine\ntitle: {quoted}\nsummary: {quoted}\ndata: [pairwise]\n"
        f"when: {quoted}\ndeviations: [{quoted}]\nhealthy: {{loss: {quoted}}}\n"
        f"paper: {{authors: {quoted}, year: 2024, title: {quoted}, arxiv: {quoted}, where: {quoted}}}\n"
        f"parameters:\n  {word}: {{default: 2, symbol: {json.dumps(symbol)}, unit: 1/nat, description: {quoted}}}\n"
        f"terms:\n  - {{name: {word}, kind: preference, score: {{beta: ={word}}}}}\n"
    )
    return files({**PLAIN, "objective": {"preset": "mine.yaml"}}, folder)


@pytest.mark.parametrize("symbol", ['"""', "λ\n", "a b", "λ_D_D", "$x", "x;", "\\", "λ_{x}", ""])
def test_a_symbol_is_a_letter(symbol: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as raised:
        mine(tmp_path, "alpha", "plain", symbol)
    assert {d.code for d in raised.value.diagnostics} == {"E004"}


@pytest.mark.parametrize("unit", ['"""', "nat\n", "$x", "1/nat/token", "nat;"])
def test_a_unit_is_made_of_names(unit: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "preset: mine\ntitle: T\nsummary: S\ndata: [pairwise]\n"
        f"parameters:\n  beta: {{default: 2, unit: {json.dumps(unit)}}}\n"
        "terms:\n  - {name: pref, kind: preference, score: {beta: =beta}}\n"
    )
    with pytest.raises(DiagnosticError):
        files({**PLAIN, "objective": {"preset": "mine.yaml"}}, tmp_path)


def test_templates_fail_on_unknown_names() -> None:
    environment = _environment()
    assert environment.undefined is StrictUndefined
    assert {p.name for p in templates_folder().glob("*.j2")} == {
        "README.md.j2", "launch.sh.j2", "loss.py.j2", "mixed_loss.py.j2", "slurm.sh.j2", "train.py.j2",
    }  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("jobs")
    for variant in ALL:
        for name, text in compiled(variant).folder().files.items():
            path = root / variant.name / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    return root


def test_emitted_python_compiles_and_is_clean(folders: Path) -> None:
    for path in folders.rglob("*.py"):
        py_compile.compile(str(path), doraise=True)
    ruff = Path(sys.executable).with_name("ruff")
    rules = ["check", "--isolated", "--select", "F,E7,E9", "--no-cache", str(folders)]
    ran = subprocess.run([str(ruff), *rules], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_one_loop_serves_every_objective() -> None:
    """Rows may be given or sampled, coupled or not: the loop is one text, but for the formula and the package."""
    template = (templates_folder() / "train.py.j2").read_text("utf-8")
    assert "{%" not in template
    assert set(re.findall(r"{{ (\w+) }}", template)) == {"formula", "runtime"}


def test_the_loop_is_short(folders: Path) -> None:
    for script in folders.glob("*/train.py"):
        lines = script.read_text("utf-8").splitlines()
        assert len(lines) <= 120, script
        assert len([line for line in lines if re.match("import |from ", line)]) <= 12, script


def test_the_loop_is_laid_out_as_ruff_does(folders: Path) -> None:
    scripts = sorted(folders.glob("*/train.py"))
    texts = [script.read_text("utf-8") for script in scripts]
    code = [line for text in texts for line in text.partition("\nimport ")[2].splitlines()]
    assert max(map(len, code)) <= 110  # above it stands the formula
    ruff = Path(sys.executable).with_name("ruff")
    options = ["format", "--check", "--isolated", "--no-cache", "--line-length", "110"]
    ran = subprocess.run(
        [str(ruff), *options, *map(str, scripts)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_emitted_shell_is_well_formed(folders: Path) -> None:
    for path in folders.rglob("*.sh"):
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_emitted_numbers_are_the_specs() -> None:
    made = compiled(Variant("r_dpo", given={"alpha": 0.2}))
    text = made.folder().files["loss.py"]
    assert "beta = 0.1  # β, 1/nat" in text
    assert "alpha = 0.2  # α, 1/token" in text


BLOCKED = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name == "alignc" or name.startswith("alignc."):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Wall())
sys.path.insert(0, sys.argv[1])
import pkgutil, importlib, bundled
for found in pkgutil.walk_packages(bundled.__path__, "bundled."):
    importlib.import_module(found.name)
import torch, loss
share, metrics = loss.loss(
    {f"{m}/{y}": torch.full((2, 3), -1.0) for m in ("policy", "initial") for y in ("chosen", "rejected")}
    | {f"mask/{y}": torch.ones(2, 3, dtype=torch.bool) for y in ("chosen", "rejected")},
    {"rows": 2.0},
)
assert abs(float(share) - 0.6931471805599453) < 1e-12
compile(open(sys.argv[1] + "/train.py").read(), "train.py", "exec")
assert not any(name.split(".")[0] == "alignc" for name in sys.modules)
"""


def test_a_standalone_folder_needs_no_alignc(tmp_path: Path) -> None:
    from alignc.emit import write

    write(compiled(Variant("dpo")).folder(standalone=True), tmp_path / "job")
    parts = {path.name for path in (tmp_path / "job" / "bundled").iterdir()}
    assert parts == {"__init__.py", "contract", "runtime"}
    assert "alignc" not in (tmp_path / "job" / "train.py").read_text().replace("`alignc run`", "")
    ran = subprocess.run(
        [*PYTHON, "-W", "ignore", "-c", BLOCKED, str(tmp_path / "job")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


STUB = """#!/bin/sh
trap 'sleep 0.5; echo saved > "$OUT"; exit 75' TERM
echo > "$OUT.started"
while :; do sleep 0.05; done
"""


def test_slurms_signal_waits_for_the_save(tmp_path: Path) -> None:
    """The batch script must outlive the job that is saving, and exit as the job does."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    api.compile(str(tmp_path / "spec.yaml"), str(tmp_path / "job"))
    for name, text in (("srun", STUB), ("scontrol", "#!/bin/sh\necho node\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    out = tmp_path / "out"
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(out), "SLURM_JOB_NODELIST": "node"}
    with subprocess.Popen(["bash", str(tmp_path / "job" / "slurm.sh")], env=variables) as batch:
        while not (tmp_path / "out.started").exists():
            assert batch.poll() is None
            time.sleep(0.02)
        batch.terminate()
        assert batch.wait(20) == 75
    assert out.read_text() == "saved\n"


MANY = SPEC + "launch: {num_processes: 2}\n"
LAUNCHER = """#!/bin/sh
trap 'sleep 0.5; echo saved > "$OUT"; echo "{\\"exit\\": 75}" > "$OUT.run/status.json"; exit 1' TERM
echo streaming
echo > "$OUT.started"
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize("script", ["launch.sh", "slurm.sh"])
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_signal_waits_for_the_save_and_gives_the_jobs_status(
    tmp_path: Path, many: bool, script: str
) -> None:
    """The launcher of several ranks ends with a status of its own; the job's is in `status.json`."""
    out = tmp_path / "out"
    (tmp_path / "out.run").mkdir()
    (tmp_path / "spec.yaml").write_text((MANY if many else SPEC).replace("/runs/job", f"{out}.run"))
    api.compile(str(tmp_path / "spec.yaml"), str(tmp_path / "job"))
    stubs = {"accelerate": LAUNCHER} if many else {"python": STUB.replace("echo >", "echo streaming; echo >")}
    stubs |= {"srun": '#!/bin/sh\nexec "$@"\n', "scontrol": "#!/bin/sh\necho node\n"}
    if many:
        stubs["python"] = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, text in stubs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "OUT": str(out)}
    variables |= {"SLURM_JOB_NODELIST": "node", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    line = ["bash", str(tmp_path / "job" / script)]
    with subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "streaming\n"
        while not (tmp_path / "out.started").exists():
            time.sleep(0.02)
        started.terminate()
        assert started.wait(20) == 75
    assert out.read_text() == "saved\n"


def test_a_status_from_before_is_not_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(MANY.replace("/runs/job", str(tmp_path)))
    api.compile(str(tmp_path / "spec.yaml"), str(tmp_path / "job"))
    (tmp_path / "status.json").write_text('{"exit": 0}')
    os.utime(tmp_path / "status.json", (1e9, 1e9))
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    for name, text in (("accelerate", "#!/bin/sh\nexit 9\n"), ("python", python)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", str(tmp_path / "job" / "launch.sh")], env=variables, check=False)
    assert done.returncode == 9


@pytest.mark.parametrize(
    ("policy", "train", "expected"),
    [
        ("{init: llama, max_position_embeddings: 256}", "{}", 256),
        ("{init: gpt2, n_positions: 64}", "{}", 64),
        ("{init: llama, max_position_embeddings: 4096}", "{}", 1024),
        ("{init: llama}", "{}", 1024),
        ("{init: llama, max_position_embeddings: 256}", "{max_length: 100}", 100),
        ("org/model", "{}", 1024),
    ],
)
def test_the_default_length_gives_way_to_a_fresh_models_positions(
    tmp_path: Path, policy: str, train: str, expected: int
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"objective: {{preset: dpo}}\nmodel: {{policy: {policy}}}\n"
        f"data: {{kind: pairwise, source: a/b}}\ntrain: {train}\n"
    )
    job = json.loads(lowered(spec, files=False).folder().files["job.json"])
    assert job["spec"]["train"]["max_length"] == expected
