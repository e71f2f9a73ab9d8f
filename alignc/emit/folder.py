"""The job folder: a readable loop, the loss, the settings and the files of the launcher."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from alignc.contract.files import JOB
from alignc.contract.job import to_json
from alignc.contract.needs import LossNeeds
from alignc.emit.config import accelerate_yaml, deepspeed_json, launch_values
from alignc.emit.job_json import job_of
from alignc.emit.render import rendered
from alignc.emit.source import header, loss_source
from alignc.explain import Explanation
from alignc.load.load import Loaded
from alignc.lower.loss import Loss

__all__ = ["BUNDLE", "JobFolder", "job_folder", "package_names", "runtime_files", "write"]

BUNDLE = "bundled"
"""The package of a standalone job folder with the modules of alignc that the job imports."""
BUNDLED = ("contract", "runtime")
EXECUTABLE = {"launch.sh", "slurm.sh"}


@dataclass(frozen=True)
class JobFolder:
    """The files of a job by their path in its folder, and the hash of them all."""

    files: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Hash the name and the bytes of each file."""
        digest = hashlib.sha256()
        for name, text in sorted(self.files.items()):
            for part in (name.encode(), text.encode()):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


def job_folder(
    spec: Loaded, loss: Loss, needs: LossNeeds, explained: Explanation, *, standalone: bool = False
) -> JobFolder:
    """Emit a job. `standalone` brings the runtime along, so that the folder runs where alignc is not installed."""
    job = spec.job
    values = {
        "formula": header(explained),
        **package_names(standalone=standalone),
        **launch_values(job),
        "standalone": standalone,
    }
    files = {
        "train.py": rendered("train.py.j2", **values),
        "loss.py": loss_source(loss, explained),
        JOB: to_json(job_of(spec, loss, needs, explained)),
        "accelerate.yaml": accelerate_yaml(job),
        "deepspeed.json": deepspeed_json(job),
        "launch.sh": rendered("launch.sh.j2", **values),
        "slurm.sh": rendered("slurm.sh.j2", **values),
        "README.md": rendered("README.md.j2", **values),
    }
    if standalone:
        files |= runtime_files()
    return JobFolder(files)


def package_names(*, standalone: bool) -> dict[str, str]:
    """Name the packages that the emitted `train.py` imports."""
    package = BUNDLE if standalone else "alignc"
    return {name: f"{package}.{name}" for name in BUNDLED}


def runtime_files() -> Iterator[tuple[str, str]]:
    """Read the source that a standalone job brings along: the runtime, and the contract that it shares with alignc.

    Both lie in one package, as they do in alignc: `from ..contract import …` then holds in either place.
    """
    root = Path(str(resources.files("alignc")))
    yield f"{BUNDLE}/__init__.py", '"""The part of alignc that a job imports while it runs."""\n'
    for part in BUNDLED:
        for path in sorted((root / part).rglob("*.py")):
            yield f"{BUNDLE}/{path.relative_to(root).as_posix()}", path.read_text("utf-8")


def write(folder: JobFolder, target: Path) -> None:
    """Write a job folder; files of an older job in it are removed."""
    for old in (BUNDLE, "runtime"):
        shutil.rmtree(target / old, ignore_errors=True)
    for name, text in folder.files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        if name in EXECUTABLE:
            path.chmod(0o755)
