"""The name of a store: a hash of everything that decides the token ids of a source."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...contract import layouts
from .hub import FromHub, hub_content
from .pipeline import template_of
from .settings import DataSettings
from .source import files_of
from .template import recorded
from .tokens import specials_of

__all__ = ["store_key"]

_LIBRARIES = ("transformers", "tokenizers", "jinja2", "datasets", "pyarrow")
_DECIDE_NOTHING = ("quarantine", "date_record", "on_bad_row", "max_refused", "max_cut", "demonstrated")
_TODAY = "strftime_now"  # a template that asks for it gives other ids on another day


def store_key(settings: DataSettings, tokenizer: Any, which: str, limit: int | None) -> str:
    """Hash a source and all that is done to it. Where that cannot be known, the name is used once."""
    digest = hashlib.sha256()
    for part in (*_parts(settings, tokenizer, which, limit), *_content(settings, which)):
        digest.update(part.encode() + b"\x1f")
    return digest.hexdigest()[:32]


def _parts(settings: DataSettings, tokenizer: Any, which: str, limit: int | None) -> Iterator[str]:
    own = {k: v for k, v in dataclasses.asdict(settings).items() if k not in _DECIDE_NOTHING}
    template = str(template_of(settings).text or tokenizer.chat_template or "")
    specials = specials_of(tokenizer)
    yield from (_code(), repr(sorted(own.items(), key=str)), which, str(limit), template)
    yield repr((specials.bos, specials.eos, specials.ends, specials.adds_bos))
    yield from (f"{name} {version(name)}" for name in _LIBRARIES)
    yield _of_tokenizer(tokenizer)
    if _TODAY in template:
        yield settings.chat_template_date or str(recorded(settings.date_record))


@cache
def _code() -> str:
    """Hash the code that makes ids of rows: another version of it must not read what this one wrote."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256()
    for path in (*files, Path(layouts.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _of_tokenizer(tokenizer: Any) -> str:
    """Describe a tokenizer of transformers; one that brings its own code is never the same."""
    kind = type(tokenizer)
    if not kind.__module__.startswith("transformers."):
        return secrets.token_hex()
    options = repr(sorted((k, repr(v)) for k, v in tokenizer.init_kwargs.items() if not k.endswith("_file")))
    if getattr(tokenizer, "is_fast", False):
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        whole = json.dumps(described | {"truncation": None, "padding": None}, sort_keys=True)
    else:
        whole = repr(sorted(tokenizer.get_vocab().items())) + _vocabulary_file(tokenizer)
    return f"{kind.__name__} {options} {tokenizer.special_tokens_map} {whole}"


def _vocabulary_file(tokenizer: Any) -> str:
    path = getattr(tokenizer, "vocab_file", None)
    return hash_of(Path(path)) if path and Path(path).is_file() else ""


def _content(settings: DataSettings, which: str) -> Iterator[str]:
    source, split, hub = settings.source, settings.split, settings.hub
    held = settings.eval
    if which == "eval" and held is not None and held.source is not None:
        source, split, hub = held.source, held.split or split, FromHub()
    folder = Path(source)
    files = files_of(source, split, hub)
    if files is None and folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
    if files is None:
        yield hub_content(source, split, hub)
        return
    yield from (f"{path} {hash_of(path)}" for path in files)


def hash_of(path: Path) -> str:
    """Hash a file's content; "" for one that cannot be read, which the reader will say better."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return secrets.token_hex()
