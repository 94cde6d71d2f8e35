"""Markdown that somebody wrote, as HTML that is safe to show."""

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

# Without raw HTML, and without images: they would be asked for from elsewhere. Links to scripts are refused by default.
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def as_html(source: str) -> Markup:
    """Return it one level of headings down: the page has its own first one."""
    tokens: list[Token] = _markdown.parse(source)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
    return Markup(_markdown.renderer.render(tokens, _markdown.options, {}))  # noqa: S704  # it escapes the text
