"""Permissions of specs: the functions and hosts that a user allows in `alignc.toml` or by a flag."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from alignc.contract.environment import ALLOWED, FOLDERS
from alignc.contract.rewards import REWARDS, Permission, asked
from alignc.diagnostics import Diagnostic, DiagnosticError, Span, did_you_mean
from alignc.launch.inputs import digest
from alignc.load.document import Document
from alignc.schema.allowance import Allow, Allowance
from alignc.spec.rewards import sources

__all__ = ["Permissions", "environment", "forbidden", "modules", "permissions"]

FILE = "alignc.toml"
USUAL = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Permissions:
    """The allowed functions and hosts with ports, and the file of the permissions."""

    functions: tuple[str, ...]
    hosts: tuple[str, ...]
    file: Path


def permissions(spec: str | Path, functions: Sequence[str] = (), hosts: Sequence[str] = ()) -> Permissions:
    """Read the permissions of a spec from the nearest `alignc.toml` and from the flags.

    The file is searched in the folder of the spec and in the folders above, up to the root of the git checkout or the
    working directory. Outside of both, only the folder of the spec is searched. Raises DiagnosticError (E001, E002,
    E003).
    """
    folders = list(_folders(Path(os.path.abspath(spec)).parent))
    file = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    given = _read(file) if file else Allow()
    return Permissions(
        (*given.functions, *functions),
        (*given.hosts, *hosts),
        file or folders[0] / FILE,
    )


def _folders(start: Path) -> Iterator[Path]:
    above = [start, *start.parents]
    ends = [n for n, folder in enumerate(above) if (folder / ".git").exists() or folder == Path.cwd()]
    yield from above[: ends[0] + 1 if ends else 1]


def _read(file: Path) -> Allow:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        span = Span(str(file), line, column, line, column + 1)
        raise DiagnosticError(Diagnostic("E001", f"the file is not TOML: {error}", span, *TOML)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError(
            Diagnostic("E001", f"the file cannot be read: {error}", Span.at(str(file)), *TOML)
        ) from None
    try:
        return Allowance.model_validate(found).allow
    except ValidationError as error:
        raise DiagnosticError([_wrong(each, file) for each in error.errors()]) from None


TOML = (
    "alignc reads the permissions of a job from this file",
    'write `[allow]`, then `functions = ["module:function"]` and `hosts = ["localhost:8000"]`',
)


TYPES = {"list_type": "must be a list of texts", "string_type": "must be a list of texts"}


def _wrong(error: Mapping[str, Any], file: Path) -> Diagnostic:
    """Turn an error of pydantic into a diagnostic."""
    place = [str(step) for step in error["loc"] if isinstance(step, str)]
    span = _at(place[-1], file)
    if error["type"] == "extra_forbidden":
        known = list((Allowance if len(place) == 1 else Allow).model_fields)
        guess = did_you_mean(place[-1], known)
        hint = f"did you mean `{guess}`?" if guess else f"the known fields are: {', '.join(known)}"
        return Diagnostic("E002", f"unknown field `{place[-1]}`", span, help=hint)
    if error["type"] == "string_pattern_mismatch":
        form = "module:function" if place[-1] == "functions" else "host:port"
        message = f"`{'.'.join(place)}` holds `{error['input']}`, which does not have the form `{form}`"
        return Diagnostic("E003", message, span, *TOML)
    return Diagnostic(
        "E003", f"`{'.'.join(place)}` {TYPES.get(error['type'], 'must be a table')}", span, *TOML
    )


def _at(key: str, file: Path) -> Span:
    """Return the span of a key: a line that begins with it, else a line that contains it (`allow.hosts = …`)."""
    lines = list(enumerate(file.read_text("utf-8").splitlines(), 1))
    for before in (r"\s*\[?\s*", r"[^#]*[\s.{,\"']"):
        for number, line in lines:
            if found := re.match(rf"{before}{re.escape(key)}\b", line):
                return Span(str(file), number, 1, number, found.end() + 1)
    return Span.at(str(file))


def forbidden(spec: Mapping[str, Any], document: Document, allowed: Permissions) -> list[Diagnostic]:
    """List the functions (E610) and hosts (E611) of a resolved spec that are not allowed."""
    found = []
    for path, source in sources(spec):
        place = (*path, REWARDS[source["kind"]].field)
        function, url = (asked(source, permission) for permission in (Permission.FUNCTION, Permission.HOST))
        if function is not None and function not in allowed.functions:
            message = f"the function `{function}` is not allowed"
            found.append(
                Diagnostic(
                    "E610", message, document.span(place), help=_way_out("functions", function, allowed)
                )
            )
        if url is not None and not _spellings(url) & {h.lower() for h in allowed.hosts}:
            host = urlsplit(url).netloc.lower()
            message = f"the host `{host}` is not allowed"
            found.append(
                Diagnostic("E611", message, document.span(place), help=_way_out("hosts", host, allowed))
            )
    return found


def _spellings(url: str) -> set[str]:
    """Return the host of a URL with its port, and also without the port if it is the default port."""
    place = urlsplit(url)
    host, usual = place.netloc.lower(), f":{USUAL[place.scheme]}"
    whole = host if place.port else host + usual
    return {whole, whole.removesuffix(usual)}


def _way_out(key: str, name: str, allowed: Permissions) -> str:
    held: tuple[str, ...] = getattr(allowed, key)
    line = f"{key} = {json.dumps([*dict.fromkeys((*held, name))], ensure_ascii=False)}"
    flag = f"--allow-{key.removesuffix('s')} {name}"
    return f"write `{line}` under `[allow]` in `{os.path.relpath(allowed.file)}`, or pass {flag}"


def environment(spec: Mapping[str, Any], document: Document, allowed: Permissions) -> dict[str, str]:
    """Return the environment variables with the allowed functions and hosts of a job."""
    functions, urls = (
        [name for _, source in sources(spec) if (name := asked(source, permission)) is not None]
        for permission in (Permission.FUNCTION, Permission.HOST)
    )
    names = [name for name in functions if name in allowed.functions]
    known = {host.lower() for host in allowed.hosts}
    hosts = [sorted(found)[0] for url in urls if (found := _spellings(url) & known)]
    folders = os.pathsep.join(map(str, _places(document)))
    return {ALLOWED: " ".join(dict.fromkeys((*names, *hosts))), FOLDERS: folders if names else ""}


def _places(document: Document) -> list[Path]:
    """List the folders in which the functions of a spec are searched: the folder of the spec."""
    return [Path(os.path.abspath(document.file)).parent]


def modules(spec: Mapping[str, Any], document: Document) -> dict[str, str]:
    """Hash the source files of the functions of a spec, by dotted name; installed modules are not hashed."""
    found = {}
    for path, source in sources(spec):
        function = asked(source, Permission.FUNCTION)
        if function is not None and (file := _module(function.partition(":")[0], document)):
            found[".".join(map(str, (*path, "name")))] = digest(file)
    return found


def _module(name: str, document: Document) -> Path | None:
    for folder in (Path.cwd(), *_places(document)):
        stem = folder.joinpath(*name.split("."))
        for file in (stem / "__init__.py", stem.with_suffix(".py")):
            if file.is_file():
                return file
    return None
