"""Documents made from data and written by another program's emitter read back as that data."""

import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from alignc.diagnostics.lines import split_lines
from alignc.yaml.scalars import resolve_scalar
from alignc.yaml.source import parse_source

# ruamel.yaml writes text that begins with ? or : without quotes in braces, and cannot read it back.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff"), max_size=12
)
WORDS = st.sampled_from(
    ["yes", "no", "null", "~", "1e5", "0o7", "12:30", "1_0", "a: b", "- x", "# y", "a #b", "'", '"']
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    TEXT.filter(lambda text: not text.startswith(("?", ":")) and not set("\u2028\u2029") & set(text)),
    WORDS,
)
KEYS = st.one_of(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), WORDS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def dump(data, flow):
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.width = 60
    yaml.allow_unicode = True
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def cut(text, span):
    lines = split_lines(text)[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


def leaves(data, path=()):
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for name, value in items:
            yield from leaves(value, (*path, name))
    else:
        yield path, data


def same(left, right):
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@pytest.mark.parametrize("flow", [False, True, None])
def test_data_survives_the_emitter(flow):
    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(st.dictionaries(KEYS, VALUES, max_size=5))
    def check(data):
        text = dump(data, flow)
        source = parse_source(text, "s")
        assert same(source.data, in_order(data)), text
        for path, value in leaves(source.data):
            written = cut(text, source.spans[path].value)
            assert same(reread(written), value), (written, value)
            if path and isinstance(path[-1], str):
                key = source.spans[path].key
                assert reread(cut(text, key)) == path[-1]

    check()


def in_order(data):
    """Sort keys as the emitter of the safe kind does."""
    if isinstance(data, dict):
        return {key: in_order(data[key]) for key in sorted(data)}
    return [in_order(item) for item in data] if isinstance(data, list) else data


def reread(written):
    """Give the value of the characters under a span: plain ones by the schema, others by the parser."""
    plain = written[:1] not in ("'", '"') and "\n" not in written
    return resolve_scalar(written) if plain else folded(written)


def folded(written):
    indented = written.replace("\n", "\n  ")
    return parse_source(f"a:\n  {indented}\n", "s").data["a"]
