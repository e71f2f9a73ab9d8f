"""MathML: formulas of LaTeX for a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

__all__ = ["mathml"]

ALLOWED = {"display", "mathvariant", "stretchy", "fence", "form", "separator", "lspace", "rspace", "accent",
           "columnalign", "columnspacing", "rowspacing", "linethickness", "movablelimits", "symmetric",
           "minsize", "maxsize",
           "displaystyle", "scriptlevel", "width", "height", "depth", "columnlines", "rowlines"}  # fmt: skip
ElementTree.register_namespace("", "http://www.w3.org/1998/Math/MathML")


def mathml(latex: str, *, block: bool = False) -> str:
    """Turn LaTeX into MathML that holds mathematics alone."""
    from latex2mathml.converter import convert

    root = ElementTree.fromstring(convert(latex, display="block" if block else "inline"))
    for element in root.iter():
        for name in [n for n in element.attrib if n not in ALLOWED]:
            del element.attrib[name]
    return re.sub(r"\s+xmlns:\w+=\"[^\"]*\"", "", ElementTree.tostring(root, encoding="unicode"))
