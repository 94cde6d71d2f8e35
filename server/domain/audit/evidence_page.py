"""The page of an evidence pack: one HTML file without scripts, for reading and printing. All of it is escaped."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

SHOWN_AT_MOST = 200  # entries of a control; all of them are in the other file


def render(document: dict[str, Any]) -> str:
    """The page of a pack's document."""
    return _template().render(pack=document, shown_at_most=SHOWN_AT_MOST)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("evidence_page.html")
