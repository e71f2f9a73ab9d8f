"""Print the outline of a loss as a mermaid flowchart."""

from __future__ import annotations

from alignc.lower.loss import Loss
from alignc.printers.outline import Vertex, outline

__all__ = ["mermaid"]

SHAPES = {"value": ('["', '"]'), "loss": ('(["', '"])')}
CLASSES = """\
    classDef policy fill:#dbeafe,stroke:#1d4ed8,color:#111827
    classDef reference fill:#f3f4f6,stroke:#6b7280,color:#111827
    classDef data fill:#fef3c7,stroke:#b45309,color:#111827
    classDef value fill:#ffffff,stroke:#374151,color:#111827
    classDef loss fill:#dcfce7,stroke:#15803d,color:#111827"""


def mermaid(loss: Loss) -> str:
    """Print the graph; a dotted arrow carries no gradient."""
    drawn = outline(loss)
    boxes = [f"    {v.key}{_label(v)}:::{v.kind}" for v in drawn.vertices]
    arrows = [f"    {e.start} {'-.->' if e.stopped else '-->'} {e.end}" for e in drawn.edges]
    return "\n".join(["flowchart LR", *boxes, *arrows, CLASSES]) + "\n"


def _label(vertex: Vertex) -> str:
    opening, closing = SHAPES.get(vertex.kind, ('[/"', '"/]'))
    shown = f"{vertex.title} = {vertex.formula}" if vertex.formula else vertex.title
    return opening + _escaped(shown) + closing


def _escaped(text: str) -> str:
    """Write what mermaid or HTML would read as syntax as entities."""
    kept = (c if c.isalnum() or c in " _+−·()=,.′" or ord(c) > 127 else f"#{ord(c)};" for c in text)
    return "".join(kept)
