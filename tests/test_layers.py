"""One direction: which package may import which, and what the light commands never load."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import alignc

PACKAGE = Path(alignc.__file__).parent
ORDER = (
    "cli",
    "docs",
    "report",
    "launch",
    "diff",
    "emit",
    "explain",
    "claims",
    "plan",
    "checks",
    "verify",
    "point",
    "theory",
    "schema",
    "load",
    "lower",
    "graph",
    "spec",
    "formula",
    "yaml",
    "diagnostics",
)
MAY: dict[str, set[str]] = {
    **{name: set(ORDER[i + 1 :]) for i, name in enumerate(ORDER)},
    "printers": {"lower", "graph", "diagnostics"},
    "api": {*ORDER[2:], "printers"},
    "runtime": set(),
}
MAY = {name: {*below, "contract"} for name, below in MAY.items()} | {"contract": set()}
MAY["cli"] |= {"api", "printers", "runtime"}
MAY["docs"] |= {"api", "printers"}
MAY["doctor"] = {"api", "launch", "plan", "load", "spec", "diagnostics", "contract"}
MAY["graph"] = {"formula", "contract"}
MAY["load"] -= {"graph"}
MAY["point"] -= {"theory", "schema"}
MAY["theory"] -= {"schema"}
MAY["cli"] |= {"doctor"}
MAY["docs"] -= {"launch"}
for layer in ("diff", "emit", "explain", "claims", "checks", "report"):
    MAY[layer] |= {"printers"}
MAY["checks"] -= {"verify"}
MAY["__main__"] = {"cli"}
LAZY = {("api", "diff"), ("api", "launch"), ("api", "runtime"), ("cli", "runtime"), ("launch", "runtime")}
"""Imports that are made inside a function alone: they load what the light commands do not need."""
BUNDLED = {"contract", "runtime"}
"""Packages that a job imports while it runs."""
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "deepspeed",
    "peft",
    "numpy",
    "safetensors",
    "tokenizers",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = ("alignc", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every module that a file imports, and whether only inside a function or for types."""
    tree = ast.parse(path.read_text("utf-8"))
    later = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        for name in names(node, path):
            yield name, id(node) in later


def names(node: ast.AST, path: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
    module = ".".join(part for part in (base, node.module or "") if part)
    return [module] if module != "alignc" else [f"alignc.{alias.name}" for alias in node.names]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_one_way(path: Path) -> None:
    own = layer_of(dotted(path))
    for name, later in imports(path):
        other = layer_of(name)
        if not name.startswith("alignc") or other in (own, "", "__version__"):
            continue
        if (own, other) in LAZY:
            assert later, f"{name} is imported when {dotted(path)} is"
        elif own:
            assert other in MAY[own], f"{own} imports {name}"


ROUND = (("alignc.load.paths", "alignc.load.load"), ("alignc.yaml.composing", "alignc.yaml.source"))
"""Where a circle is the matter itself: a path may be `{run: SPEC}`, and the reader composes what it reads."""


def test_no_two_modules_import_each_other() -> None:
    """Whether directly or through others, at once or in a function: every module can be read after those it uses."""
    known = {dotted(path): path for path in MODULES}
    uses = {name: {n for n, _ in imports(path) if n in known and n != name} for name, path in known.items()}
    for name, other in ROUND:
        uses[name].remove(other)
    order = graphlib.TopologicalSorter(uses)
    order.prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", [p for p in MODULES if layer_of(dotted(p)) != "runtime"], ids=dotted)
def test_the_compiler_imports_no_model_library(path: Path) -> None:
    allowed = (
        {"numpy"} if layer_of(dotted(path)) in ("verify", "claims") else set()
    )  # a command of its own, imported late
    assert not {name.split(".")[0] for name, _ in imports(path)} & HEAVY - allowed


@pytest.mark.parametrize("path", [p for p in MODULES if layer_of(dotted(p)) == "contract"], ids=dotted)
def test_the_contract_imports_the_standard_library_alone(path: Path) -> None:
    outside = {name.split(".")[0] for name, _ in imports(path)} - sys.stdlib_module_names
    assert outside <= {"alignc"}


@pytest.mark.parametrize("path", [p for p in MODULES if layer_of(dotted(p)) in BUNDLED], ids=dotted)
def test_what_a_standalone_job_holds_imports_itself_relatively(path: Path) -> None:
    """`compile --standalone` copies these packages below a package of another name."""
    absolute = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if not getattr(node, "level", 0)
    ]
    assert not [name for node in absolute for name in names(node, path) if name.startswith("alignc")]


def test_every_layer_is_known() -> None:
    assert {layer_of(dotted(p)) for p in MODULES} - {"", "__main__"} <= MAY.keys()


def exported(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def sort_key(name: str) -> tuple[int, str]:
    """Sort constants, then classes, then functions, as ruff does."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


LIGHT = [p for p in MODULES if p.name != "__main__.py"]


@pytest.mark.parametrize("path", LIGHT, ids=dotted)
def test_all_is_sorted_and_there(path: Path) -> None:
    listed = exported(path)
    if listed is None:
        assert path.name == "__init__.py"
        return
    assert listed == sorted(set(listed), key=sort_key)
    defined = set(dir(importlib.import_module(dotted(path))))
    assert (
        set(listed) - {"compile", "diff", "evaluate", "explain", "load", "plan", "run", "validate", "verify"}
        <= defined
    )


@pytest.mark.parametrize("path", LIGHT, ids=dotted)
def test_public_functions_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "the module says what it is"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


COMMANDS = {
    "validate": ["validate", "SPEC"],
    "explain": ["explain", "SPEC"],
    "plan": ["plan", "SPEC"],
    "describe": ["describe", "train.learning_rate"],
    "presets": ["presets"],
    "rule": ["rule", "E002"],
}
PROBE = """
import json, resource, sys
from alignc.cli import main
sys.argv = ["alignc", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([end.code, sorted(sys.modules), used.ru_utime + used.ru_stime]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def spec() -> str:
    return str(PACKAGE.parent / "examples" / "dpo.yaml")


def probed(arguments: list[str]) -> tuple[int, set[str], float]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    code, modules, seconds = json.loads(done.stderr.splitlines()[-1])
    return code, set(modules), seconds


@pytest.mark.parametrize("name", COMMANDS)
def test_light_commands_load_nothing_heavy(name: str, spec: str) -> None:
    code, modules, _ = probed([spec if a == "SPEC" else a for a in COMMANDS[name]])
    assert code == 0
    assert not {m for m in modules if m.split(".")[0] in HEAVY | {"sympy"}}
    assert not {m for m in modules if m.startswith("alignc.runtime")}


FLOOR = """
import resource, sys
import click, jinja2, pydantic, rich.console, ruamel.yaml
from pydantic import TypeAdapter
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""
"""The libraries that a light command loads whatever it does."""


def floor() -> float:
    done = subprocess.run([sys.executable, "-c", FLOOR], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("name", ["validate", "explain"])
def test_cold_start_takes_under_five_times_the_import_of_its_libraries(name: str, spec: str) -> None:
    """Measure both in turn, and take the best of each: under a second, where the libraries take a fifth."""
    runs = [(probed([name, spec])[2], floor()) for _ in range(5)]
    assert min(taken for taken, _ in runs) < 5 * min(least for _, least in runs)
