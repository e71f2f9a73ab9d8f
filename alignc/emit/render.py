"""Fill the templates, which only print; all decisions are made before."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["rendered", "templates_folder"]


def templates_folder() -> Path:
    """Find the templates: inside a package that was installed from a wheel, else beside the package."""
    inside = Path(__file__).parents[1] / "_templates"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "templates"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # `validate` renders nothing

    return Environment(
        loader=FileSystemLoader(templates_folder()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def rendered(template: str, **values: Any) -> str:
    """Render a template. An unknown name in it is an error."""
    return _environment().get_template(template).render(**values)
