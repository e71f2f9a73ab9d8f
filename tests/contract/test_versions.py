"""One table of versions: pyproject.toml and constraints.txt say the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from alignc.contract.versions import EXTRAS, PACKAGES, Package, release, within

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirement(package: Package) -> str:
    return f"{package.name}{package.span}" + (f"; {package.marker}" if package.marker else "")


def test_the_dependencies_are_those_of_the_table():
    assert PROJECT["dependencies"] == [requirement(package) for package in PACKAGES.values()]


def test_every_extra_is_one_of_the_table():
    extras = {name: asked for name, asked in PROJECT["optional-dependencies"].items() if name in EXTRAS}
    assert extras == {name: [requirement(package)] for name, package in EXTRAS.items()}
    assert PROJECT["optional-dependencies"].keys() == {*EXTRAS, "all", "test", "dev"}
    assert PROJECT["optional-dependencies"]["all"] == [f"alignc[{','.join(EXTRAS)}]"]


def test_the_tested_versions_are_those_of_the_constraints_and_lie_in_the_ranges():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    known = dict(line.split("==") for line in lines if "==" in line)
    for name, package in PACKAGES.items():
        assert known[name] == package.tested
        assert within(package.tested, package.span)


def test_versions_are_read_as_numbers():
    assert release("2.13.0+cpu") == release("2.13") == (2, 13)
    assert release("0.19.0") < release("0.19.8") < release("0.19.10") < release("0.20")


@pytest.mark.parametrize("span", [">=0.19,<0.20", ">=2.11.4,<3", "==2.13.0", ">=1.11"])
@pytest.mark.parametrize(
    "version", ["0.18.9", "0.19", "0.19.0", "0.20.0", "1.11", "2.11.4", "2.11.10", "2.13.0", "3.0"]
)
def test_a_range_means_what_it_means_to_pip(version: str, span: str):
    assert within(version, span) == SpecifierSet(span).contains(version)
