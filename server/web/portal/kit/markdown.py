"""Markdown that somebody wrote, as HTML that is safe to show."""

from functools import lru_cache

from markdown_it.token import Token
from markupsafe import Markup

from server.domain.release.agreement_texts import PARSER

KEPT = 16  # of the last texts: one wording is read many times, and never changes


@lru_cache(maxsize=KEPT)
def as_html(source: str) -> Markup:
    """Return it one level of headings down: the page has its own first one."""
    tokens: list[Token] = PARSER.parse(source)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
    return Markup(PARSER.renderer.render(tokens, PARSER.options, {}))  # noqa: S704  # it escapes the text
