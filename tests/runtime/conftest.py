"""What the runtime's tests share: one process that has everything imported, and forks for every job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .forks import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()
