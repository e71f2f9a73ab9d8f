"""Which pages there are, whether they are fresh, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignc.diagnostics.document import reference
from alignc.docs.compatibility_page import compatibility_page, record
from alignc.docs.formats_page import formats_page
from alignc.docs.methods import index_page, method_page
from alignc.docs.soundness_page import soundness_page, soundness_record
from alignc.docs.spec_page import spec_page
from alignc.docs.support_page import support_page
from alignc.load.preset import built_in, preset_names
from alignc.schema.allowance import allowance_schema
from alignc.schema.schema import json_schema, pipeline_schema

__all__ = ["generated", "stale", "write"]

METHODS = "docs/methods"


def generated() -> dict[str, str]:
    """Build every generated file, by its path in the checkout."""
    presets = [built_in(name) for name in preset_names()]
    return {
        "docs/spec.md": spec_page(),
        "docs/diagnostics.md": reference(),
        "docs/support.md": support_page(),
        "docs/data-formats.md": formats_page(),
        "docs/compatibility.md": compatibility_page(record()),
        "docs/soundness.md": soundness_page(soundness_record()),
        f"{METHODS}/README.md": index_page(presets),
        **{f"{METHODS}/{preset.preset}.md": method_page(preset) for preset in presets},
        "schemas/alignc-toml.schema.json": _json(allowance_schema()),
        "schemas/job.schema.json": _json(json_schema()),
        "schemas/pipeline.schema.json": _json(pipeline_schema()),
    }


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def stale(pages: Mapping[str, str], root: Path) -> list[str]:
    """List the files that differ from their page, and pages of methods that are no more."""
    old = [name for name, text in pages.items() if _read(root / name) != text]
    there = [f"{METHODS}/{path.name}" for path in (root / METHODS).glob("*.md")]
    return sorted([*old, *(name for name in there if name not in pages)])


def write(pages: Mapping[str, str], root: Path) -> None:
    """Write the pages, and delete those of methods that are no more."""
    for name in stale(pages, root):
        path = root / name
        if name not in pages:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[name], encoding="utf-8", newline="\n")


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None
