"""Agreements' texts: Markdown that every page can show, whole and soon. Checked when one is published."""

import re

from markdown_it import MarkdownIt

from server.domain.errors import InvalidRequest

CHARACTERS_AT_MOST = 500_000
TITLE_CHARACTERS_AT_MOST = 200
LINES_AT_MOST = 10_000
MARKS_AT_MOST = 10_000  # each takes the reader tens of microseconds; tenfold, a page would take seconds
LEVELS_AT_MOST = 16  # from 20 on, the library leaves out what stands there: somebody would sign what nobody saw
_MARKS = re.compile(r"[\[\]*_`|<&\\]")

# Without raw HTML, and without images: they would be asked for from elsewhere. Links to scripts are refused by default.
PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def require_readable(text: str) -> str:
    """Return the title, which is the first line. Raises InvalidRequest when a page could not show the text well."""
    title = text.strip().partition("\n")[0].lstrip("# ").strip()
    if not title or len(title) > TITLE_CHARACTERS_AT_MOST or len(text) > CHARACTERS_AT_MOST:
        raise InvalidRequest(
            f"An agreement starts with its title (up to {TITLE_CHARACTERS_AT_MOST} characters) and has up to "
            f"{CHARACTERS_AT_MOST} characters."
        )
    if not is_shown_quickly(text):
        lines, marks = _measured(text)
        raise InvalidRequest(
            f"An agreement has up to {LINES_AT_MOST} lines and {MARKS_AT_MOST} Markdown characters (such as * and [), "
            f"so that pages can show it quickly. This one has {lines} and {marks}."
        )
    if not is_shown_whole(text):
        raise InvalidRequest("The agreement nests quotes or lists so deeply that parts of it would not be shown.")
    return title


def is_shown_quickly(text: str) -> bool:
    """Whether a page can render this Markdown without making its reader wait."""
    lines, marks = _measured(text)
    return lines <= LINES_AT_MOST and marks <= MARKS_AT_MOST


def is_shown_whole(text: str) -> bool:
    """Whether the parser leaves nothing out: what is nested too deeply it drops without a word."""
    return max((token.level for token in PARSER.parse(text)), default=0) <= LEVELS_AT_MOST


def _measured(text: str) -> tuple[int, int]:
    return len(text.splitlines()), len(_MARKS.findall(text))
