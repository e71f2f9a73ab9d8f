"""`explain` as LaTeX, HTML and mermaid: well-formed for every preset, with whatever strings a spec holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from latex2mathml.converter import convert

from alignc.api import Compiled, lowered
from alignc.claims.model import Slope
from alignc.explain.html import page
from alignc.explain.latex import fragment
from alignc.explain.model import as_json
from alignc.explain.show import sections
from alignc.printers.drawing import drawing
from alignc.printers.mathml import mathml
from alignc.printers.mermaid import mermaid
from alignc.printers.outline import outline
from alignc.printers.tex import mathematics, plain_text

from ..variants import ALL, Variant, compiled, of_spec

EVERY = pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
SVG = "{http://www.w3.org/2000/svg}"
HEAD = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{amsmath,amssymb}"
DOCUMENT = HEAD + r"\begin{document}%s\end{document}"


def mathematics_in(text: str) -> list[str]:
    return re.findall(r"\\\[(.*?)\\\]", text) + re.findall(r"\\\((.*?)\\\)", text)


def compiles(folder: Path, text: str) -> bool:
    """Compile with pdflatex where it is installed."""
    found = shutil.which("pdflatex")
    if found is None:
        return True
    (folder / "page.tex").write_text(DOCUMENT % text, "utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    return subprocess.run([found, *options], cwd=folder, capture_output=True, check=False).returncode == 0


def balanced(text: str) -> bool:
    depth = 0
    for mark in re.findall(r"(?<!\\)[{}]", text.replace("\\\\", "")):
        depth += 1 if mark == "{" else -1
        if depth < 0:
            return False
    return depth == 0


@EVERY
def test_latex(variant: Variant, tmp_path: Path) -> None:
    found = compiled(variant)
    text = fragment(found.explanation, found.loss)
    formulas = mathematics_in(text)
    assert len(formulas) > len(found.explanation.where) + len(
        [c for c in found.explanation.claims if isinstance(c, Slope)]
    )
    for formula in formulas:
        ElementTree.fromstring(convert(formula))
    assert text.isascii()
    assert balanced(text)
    for name in ("tabular", "center", "itemize"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}")
    assert compiles(tmp_path, text)


def test_latex_of_dpo_line_by_line() -> None:
    found = compiled(Variant("dpo"))
    lines = fragment(found.explanation, found.loss).splitlines()
    assert r"\subsection*{Direct preference optimisation (spec)}" in lines
    score = r"\beta \, \left(u_{w} - u_{l}\right)"
    assert rf"\[ L = -\mathbb{{E}}\left[\log \sigma\left({score}\right)\right] \]" in lines
    assert rf"\[ z = {score} \qquad \text{{margin}} \]" in lines
    slope = r"\[ \frac{\partial \ell}{\partial \log \pi_\theta(y_w)} = -\beta \, \sigma\left(-z\right) \]"
    assert rf"\item {slope}" in lines
    assert r"\(\beta\) & 0.1 & 1/nat & beta & preset:dpo \\" in lines


class Reader(HTMLParser):
    """Notes the tags, their nesting, and the text of a page."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def alone(text: str) -> Reader:
    """Read a page, which must not fetch or run anything."""
    reader = read(text)
    assert not {"script", "link", "img", "iframe", "object", "form", "a", "base"} & set(reader.tags)
    for name, value in reader.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "href", "action", "xlink:href")
        assert "url(" not in value
    assert "@import" not in text
    assert "url(" not in text
    return reader


@EVERY
def test_html(variant: Variant) -> None:
    found = compiled(variant)
    text = page(found.explanation, found.loss)
    reader = alone(text)
    words = "".join(reader.text)
    assert {"math", "svg", "table", "h1"} <= set(reader.tags)
    assert found.explanation.title in words
    for label, lines in sections(found.explanation):
        if lines:
            assert label in words
        for line in lines:
            before, equation, after = line.partition("∂ℓ" if "∂ℓ" in line else "∂L")
            whole = not equation and "g(u) = " not in line
            assert (line if whole else before.strip() or after.partition(": ")[2]) in words
    assert text == page(found.explanation, found.loss)


def test_both_themes() -> None:
    found = compiled(Variant("dpo"))
    text = page(found.explanation, found.loss)
    assert "prefers-color-scheme: dark" in text
    assert "default-src 'none'" in text


@EVERY
def test_drawing(variant: Variant) -> None:
    root = ElementTree.fromstring(drawing(compiled(variant).loss))
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    boxes = [[float(r.attrib[k]) for k in ("x", "y", "width", "height")] for r in root.iter(f"{SVG}rect")]
    assert len(boxes) == len(outline(compiled(variant).loss).vertices)
    for i, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


@EVERY
def test_outline_leads_to_the_loss(variant: Variant) -> None:
    drawn = outline(compiled(variant).loss)
    places = {v.key: i for i, v in enumerate(drawn.vertices)}
    assert drawn.vertices[-1].kind == "loss"
    for edge in drawn.edges:
        assert places[edge.start] < places[edge.end]
    assert {e.start for e in drawn.edges} == set(places) - {"loss"}


def test_what_carries_no_gradient_is_dashed() -> None:
    drawn = outline(compiled(Variant("kto", "pointwise")).loss)
    kinds = {v.key: v.kind for v in drawn.vertices}
    titles = {v.key: v.title for v in drawn.vertices}
    for edge in drawn.edges:
        if kinds[edge.start] in ("reference", "data") or titles[edge.start] == "z₀":
            assert edge.stopped
        if titles[edge.start] == "log π(y|x)":
            assert not edge.stopped


LINE = re.compile(
    r'v\d+(\["[^"]*"\]|\[/"[^"]*"/\]):::\w+|loss\(\["[^"]*"\]\):::loss|v\d+ (-->|-\.->) (v\d+|loss)|classDef .*'
)


@EVERY
def test_mermaid(variant: Variant) -> None:
    first, *lines = mermaid(compiled(variant).loss).splitlines()
    assert first == "flowchart LR"
    for line in lines:
        assert LINE.fullmatch(line.strip()), line


NASTY = '<script>alert("1")</script>&amp;\'"} \\input{/etc/passwd} $x$ %'


@pytest.fixture
def hostile(tmp_path: Path) -> Compiled:
    """A spec and a preset of one's own whose every free text is an attack."""
    preset = {
        "preset": "own", "title": NASTY, "summary": NASTY, "when": NASTY, "data": ["pairwise"],
        "paper": {"authors": NASTY, "year": 2024, "title": NASTY},
        "parameters": {"beta": {"default": 0.1, "gt": 0, "symbol": "θ_Zβ", "unit": "1/nat"}},
        "terms": [{"name": "pref", "kind": "preference", "score": {"of": "log_ratio", "beta": "=beta"}}],
        "deviations": [NASTY, NASTY], "healthy": {NASTY: NASTY},
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(json.dumps(preset))
    spec = {
        "name": "n", "objective": {"preset": "own.yaml"}, "model": {"policy": "a/b"},
        "data": {"kind": "pairwise", "source": "x/y"},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    return lowered(tmp_path / "spec.yaml", files=False)


def test_strings_of_a_spec_stay_text_in_html(hostile: Compiled) -> None:
    text = page(hostile.explanation, hostile.loss)
    words = "".join(alone(text).text)
    assert NASTY in words
    assert "javascript" not in {name for name, _ in read(text).attributes}
    assert not re.search(r"=\s*[\"']?\s*javascript:", text)


def test_strings_of_a_spec_stay_text_in_latex(hostile: Compiled, tmp_path: Path) -> None:
    text = fragment(hostile.explanation, hostile.loss)
    assert r"\input" not in text
    assert r"\href" not in text
    assert balanced(text)
    assert compiles(tmp_path, text)


def test_strings_of_a_spec_stay_text_in_mermaid(hostile: Compiled) -> None:
    assert "<" not in mermaid(hostile.loss).replace("<-", "")
    for line in mermaid(hostile.loss).splitlines()[1:]:
        assert LINE.fullmatch(line.strip()), line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a_b 100% #1 $x {y}", r"a\_b 100\% \#1 \$x \{y\}"),
        (r"\input", r"\textbackslash{}input"),
        ("β·log", r"\(\beta \cdot\)log"),
        ("x²", r"x\({}^2\)"),
        ("naïve", "naïve"),
        ("中", "[U+4E2D]"),
        ("a\x07b", "a b"),
    ],
)
def test_text_in_latex(given: str, expected: str) -> None:
    assert plain_text(given) == expected


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [("β", r"\beta "), ("λ_D", r"\lambda_{D}"), ("β_2", r"\beta_{2}"), (r"\input{x}", r"\mathrm{inputx}")],
)
def test_symbols_in_latex(symbol: str, expected: str) -> None:
    assert mathematics(symbol).strip() == expected.strip()


def test_mathml_holds_mathematics_alone() -> None:
    shown = mathml(r"\href{javascript:alert(1)}{x} + \class{y}{z}" if _takes_href() else "x")
    assert "javascript:" not in re.findall(r'="([^"]*)"', shown)
    assert not re.search(r'(href|class|style|id)="', shown)


def _takes_href() -> bool:
    return "href" in convert(r"\href{u}{x}")


STARTS = [
    ("text", "L = "),
    ("latex", r"\[ L = "),
    ("html", "<!doctype html>"),
    ("json", "{"),
    ("mermaid", "flowchart LR"),
]


@pytest.mark.parametrize(("name", "start"), STARTS)
def test_the_command_prints_each_format(name: str, start: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from alignc.cli.explain import command

    (tmp_path / "spec.yaml").write_text(
        "objective: {preset: dpo}\nmodel: {policy: a/b}\ndata: {kind: pairwise, source: x/y}\n"
    )
    done = CliRunner().invoke(command, [str(tmp_path / "spec.yaml"), "--format", name])
    assert done.exit_code == 0
    assert start in done.stdout


def test_a_formula_of_ones_own_is_drawn_too() -> None:
    term = {
        "name": "own",
        "kind": "preference",
        "score": {"of": "log_ratio", "beta": 0.1},
        "link": "softplus(-z)+z/5",
    }
    found = of_spec({"terms": [term]})
    alone(page(found.explanation, found.loss))


def test_json_carries_the_claims() -> None:
    found = compiled(Variant("dpo"))
    said = json.loads(json.dumps(as_json(found.explanation)))["claims"]
    assert len(said) == len(found.explanation.claims)
    [push] = [c for c in said if c["kind"] == "Push" and c["response"] == "chosen"]
    assert push["way"] == "raises"
    assert push["when"] == "always"
    assert push["section"] == "gradient"
    assert push["text"] == "raises the chosen y_w"
