"""docs/data-formats.md: every layout of rows that is accepted, each with a row and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from alignc.docs.markdown import GENERATED, code

__all__ = ["formats_page", "layouts"]

HEAD = """
# Layouts of rows

alignc reads the rows of many tools as they are. Each layout below stands with one row and with what the model sees of
it. The tests hold each row to exactly this prompt and these responses.

- `data.columns` names columns of any other layout. A named column always wins.
- A layout is recognised by its columns. The first layout that fits is taken, in the order of this page.
- `system` (or `system_prompt`) and `history` come before the prompt, in every layout. The row then is a conversation,
  so the tokenizer needs a chat template.
- `input` follows an `instruction` on a new line.
- An empty name takes such a column away: `columns: {system: ""}`.
- A column that nothing reads is told. `alignc data` and `alignc init` list it as "not read", and a run says it once.
  Rewards get every column of a prompt.
- A conversation is a list of turns with `role` and `content`, or with `from` and `value`. It may also stand in a text
  as JSON, in a cell of a CSV file for example.

"""
READERS = """
## Files

| source | what is read |
| --- | --- |
| `rows.jsonl`, `rows.ndjson` | one object a line, in UTF-8 with or without a byte order mark |
| `rows.json` | an array of objects, or one object a line |
| `rows.csv`, `rows.tsv` | a header, and a row for each record; cells may hold lists and conversations as JSON |
| `rows.parquet`, `rows.arrow` | the rows of the table, with nested columns |
| `rows.jsonl.gz`, and `.gz` behind any other suffix of a text file | the same, unpacked while it is read |
| `data/part-*.jsonl`, `data/**/*.parquet` | all files that match, in the order of their names |
| a folder | the files whose path contains the name of the split, or those of `data.data_files` |
| a folder of `save_to_disk` | the data set, or the split of it, whatever format it was set to |
| `owner/name` | a data set of the hub, with `data.name`, `data.revision`, `data.data_files` and `data.streaming` |
| `hf://datasets/owner/name/train.jsonl` | a file of the hub; `@REVISION` may stand behind the name |

A column that stands twice in a file is an error. A number that a double cannot hold is a refused row.
"""
KINDS = {
    "pairwise": "Pairs",
    "demonstrations": "Demonstrations",
    "pointwise": "Single responses with a mark",
    "scored": "Several responses with scores",
    "prompts": "Prompts",
}


def layouts() -> list[dict[str, Any]]:
    """Read the layouts: each has a row, and the prompt, the responses and the numbers that become of it."""
    text = files("alignc.docs").joinpath("layouts.json").read_text("utf-8")
    return list(json.loads(text))


def formats_page() -> str:
    """Write the page, kind by kind."""
    parts = [GENERATED, HEAD]
    for kind, title in KINDS.items():
        parts.append(f"## {title}: `kind: {kind}`\n\n")
        parts += [_layout(case) for case in layouts() if case["kind"] == kind]
    return "".join((*parts, READERS.lstrip("\n")))


def _layout(case: Mapping[str, Any]) -> str:
    lines = [f"prompt: {_plain(case['prompt'])}"]
    lines += [f"response: {_plain(response)}" for response in case["responses"]]
    lines += [f"{name}: {_plain(value)}" for name, value in case.get("values", {}).items()]
    unread = ", ".join(code(name) for name in case.get("unread", ()))
    note = f"Not read: {unread}.\n\n" if unread else ""
    shown = "\n".join(lines)
    return f"### {case['layout']}\n\n```json\n{_plain(case['row'])}\n```\n\n```\n{shown}\n```\n\n{note}"


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
