"""What a spec may run or reach: names that a person allowed, handed to the job by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from ...contract.environment import ALLOWED
from ...contract.failure import Failure

__all__ = ["allowed_names", "require_function", "require_host"]


def allowed_names(variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Read what was allowed."""
    return tuple(variables.get(ALLOWED, "").split())


def require_function(name: str, allowed: Sequence[str]) -> None:
    """Raise E610 for a function that was not allowed."""
    if name not in allowed:
        raise _refused("E610", f"the function `{name}` is not allowed", "functions", name)


def require_host(url: str, allowed: Sequence[str]) -> None:
    """Raise E611 for an endpoint on a host that was not allowed; loopback is a host like any other."""
    place = urlsplit(url)
    usual = {"http": 80, "https": 443}[place.scheme]
    host = place.netloc.lower()
    known = {entry.lower() for entry in allowed}
    whole = host if place.port else f"{host}:{usual}"
    if not known & {whole, whole.removesuffix(f":{usual}")}:
        raise _refused("E611", f"the host `{host}` is not allowed", "hosts", host)


def _refused(code: str, message: str, key: str, name: str) -> Failure:
    flag = f"--allow-{key.removesuffix('s')} {name}"
    return Failure(
        code,
        message,
        help=f'start the job with `alignc run SPEC {flag}`, or with `[allow] {key} = ["{name}"]` in `alignc.toml`; '
        f"a job that you start by hand reads {ALLOWED}={name} from its environment",
    )
