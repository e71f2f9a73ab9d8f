"""Whether an installed package may carry a job: a version that is known to compute wrong numbers may not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from ...contract.failure import Failure
from ...contract.versions import EXTRAS, PACKAGES, Package, release

__all__ = ["check_version", "require"]


def require(name: str) -> None:
    """Look for a package of the table of versions. Failure E602 where it is absent, E614 where it is too old."""
    try:
        installed = version(name)
    except PackageNotFoundError:
        message = f"the job needs `{name}`, which is not installed"
        raise Failure("E602", message, help=way_out(name)) from None
    check_version(name, installed)


def check_version(name: str, installed: str) -> None:
    """Stop where a version is below its range and the versions there compute wrong numbers (Failure E614)."""
    package = row_of(name)
    if package.wrong and release(installed) < release(package.floor):
        message = f"`{name}` is {installed}, and the job needs {package.span}"
        raise Failure("E614", message, why=package.wrong, help=package.way_out)


def row_of(name: str) -> Package:
    """Find a package in the table, among those of every job or of an extra."""
    return PACKAGES[name] if name in PACKAGES else next(p for p in EXTRAS.values() if p.name == name)


def way_out(name: str) -> str:
    """Write the command that installs a package: an extra brings it, where an extra has it."""
    extras = [extra for extra, package in EXTRAS.items() if package.name == name]
    return f"pip install 'alignc[{extras[0]}]'" if extras else PACKAGES[name].way_out
