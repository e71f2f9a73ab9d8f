"""Every emitted file is laid out as ruff does, and keeps the project's rules."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from alignc.api import Compiled, built
from alignc.printers.folding import WIDTH

from ..batches import numbers, totals
from ..emitted import loss_module, tensors
from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled, of_spec

ROOT = Path(__file__).parents[2]
EVERY = [*ALL, *METHODS]
LINKS = [
    "200*softplus(-z) + " + " + ".join(f"z**{n}/{n}" for n in range(2, 30)),
    "200*softplus(-z) + tanh(z - 1)*tanh(z - 2)*tanh(z - 3)*tanh(z - 4)*tanh(z - 5)*tanh(z - 6)*tanh(z - 7)",
    "200*softplus(-z) + sigmoid(exp(-abs(1 + z)) + log(2 + abs(sigmoid(z) - tanh(z - 2)*softplus(3 - z))))**3",
    "log(2 + log(2 + log(2 + log(2 + log(2 + log(2 + log(2 + log(2 + log(2 + log(2 + softplus(-z)))))))))))",
]


def made_of(variant: Variant | Online) -> Compiled:
    return compiled_online(variant) if isinstance(variant, Online) else compiled(variant)


def own(link: str) -> Compiled:
    score = {"of": "log_ratio", "beta": 0.1}
    return of_spec({"terms": [{"name": "p", "kind": "preference", "score": score, "link": link}]})


def likelihood(number: int) -> dict[str, object]:
    return {"name": f"t{number}", "kind": "likelihood", "on": "chosen", "weight": 1 / number}


def emitted(root: Path) -> Path:
    """Write the Python of every variant, of every example and of long formulas."""
    jobs = {f"variant{i}": made_of(v) for i, v in enumerate(EVERY)}
    jobs |= {f"own{i}": own(link) for i, link in enumerate(LINKS)}
    jobs["many"] = of_spec({"terms": [likelihood(n) for n in range(2, 16)]})
    jobs |= {path.stem: built(path) for path in sorted((ROOT / "examples").glob("*.yaml"))}
    for name, job in jobs.items():
        (root / name).mkdir()
        for file, text in job.folder().files.items():
            if file.endswith(".py"):
                (root / name / file).write_text(text, "utf-8")
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emitted(tmp_path_factory.mktemp("layout"))


def ruff(*arguments: str) -> None:
    """Run ruff under the project's own rules."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_emitted_file_is_formatted(folders: Path) -> None:
    assert len(list(folders.rglob("loss_*.py"))) >= 3
    ruff("format", "--check", str(folders))


def test_every_emitted_file_keeps_the_rules(folders: Path) -> None:
    ruff("check", "--config", f"lint.pycodestyle.max-line-length={WIDTH}", str(folders))


@pytest.mark.parametrize("link", LINKS)
def test_a_long_formula_means_the_same_when_it_is_broken(link: str) -> None:
    from alignc.graph.evaluate import evaluate

    from ..batches import given

    made = own(link)
    drawn = numbers(random.Random(3), made, 4)
    share, _ = loss_module(made).loss(tensors(drawn, [0, 1, 2, 3]), totals(drawn, made.needs.totals))
    known = given(drawn, made.loss.outputs)
    assert float(share.detach()) == pytest.approx(evaluate(made.loss.root, known), rel=1e-12)
