"""What the folder of a policy carries into generation: where responses end, settings that are not used, a clock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignc.contract.generation import ADAPTER_FILE, CONFIG_FILES, GENERATION_FILE, base_of, carried, ends_of
from alignc.contract.kinds import ONLINE

__all__ = ["generation_lines"]


def generation_lines(policy: Any, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Describe what the local folder of a policy says of generation; nothing where there is no folder.

    `policy` is the resolved `model.policy`, `data` the section of one source of rows.
    """
    folders = list(_folders(policy))
    if not folders:
        return ()
    return (*_ends(folders, data), *_settings(folders, data), *_clock(folders[0], data))


def _folders(policy: Any) -> Iterator[Path]:
    """Give the folder of the tokenizer, and then that of an adapter's base."""
    name = policy.get("tokenizer") if isinstance(policy, Mapping) else policy
    folder = Path(str(name))
    if folder.is_absolute() and folder.is_dir():
        yield folder
        if (base := base_of(_json(folder / ADAPTER_FILE))) is not None and Path(base).is_dir():
            yield Path(base)


def _ends(folders: list[Path], data: Mapping[str, Any]) -> Iterator[str]:
    """Name the tokens that end a response: the tokenizer's EOS first."""
    names = _names(folders[0])
    eos = _json(folders[0] / "tokenizer_config.json").get("eos_token")
    first = eos.get("content") if isinstance(eos, Mapping) else eos
    ids = dict.fromkeys(
        end for folder in folders for file in CONFIG_FILES for end in ends_of(_json(folder / file))
    )
    ends = list(dict.fromkeys(filter(None, (first, *(names.get(end, f"token {end}") for end in ids)))))
    if not ends:
        return
    listed = " or ".join(filter(None, (", ".join(ends[:-1]), ends[-1])))
    if data["kind"] in ONLINE:
        yield f"a response ends with {listed}"
    else:
        yield f"a completion ends with {listed}; {ends[0]} is added where there is no end"


def _names(folder: Path) -> dict[int, str]:
    """Map the ids of added tokens to their texts."""
    listed = _json(folder / "tokenizer.json").get("added_tokens")
    more = _json(folder / "tokenizer_config.json").get("added_tokens_decoder")
    names = {token["id"]: token["content"] for token in listed or () if {"id", "content"} <= set(token)}
    for number, token in more.items() if isinstance(more, Mapping) else ():
        if str(number).isdigit() and isinstance(token, Mapping) and "content" in token:
            names.setdefault(int(number), token["content"])
    return names


def _settings(folders: list[Path], data: Mapping[str, Any]) -> Iterator[str]:
    """Name what a generation config would change, and what holds instead."""
    found = next((found for folder in folders if (found := carried(_json(folder / GENERATION_FILE)))), {})
    if not found:
        return
    shown = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in found.items())
    instead = "the settings of `data` hold" if data["kind"] in ONLINE else "training samples nothing"
    yield f"not used of {GENERATION_FILE}: {shown}; {instead}"


def _clock(folder: Path, data: Mapping[str, Any]) -> Iterator[str]:
    """Say that the template asks for the date, and which one it gets."""
    text = _template(folder, data.get("chat_template"))
    if "strftime_now" not in text:
        return
    day = data.get("chat_template_date")
    yield f"the chat template may write the date: {day or 'that on which the run begins'}"


def _template(folder: Path, own: Any) -> str:
    try:
        path = Path(str(own)) if own else folder / "chat_template.jinja"
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return str(_json(folder / "tokenizer_config.json").get("chat_template", ""))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
