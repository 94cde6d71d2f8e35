"""Agreements' texts: what every page can show, whole and soon, and what is refused instead."""

from pathlib import Path

import pytest

from server.domain.errors import InvalidRequest
from server.domain.release import agreement_texts, agreements
from server.domain.release.agreement_texts import LINES_AT_MOST, MARKS_AT_MOST
from server.web.portal.kit.markdown import as_html
from tests.world import World

HEAD = "# Terms\n\n"
SLOW = {
    "stars": "**a " * 124_000,
    "open brackets": "[" * 499_000,
    "links": "[a](b) " * 70_000,
    "a table": ("|a" * 500 + "\n") + ("|-" * 500 + "\n") + ("|a" * 500 + "\n") * 400,
    "lines": "a\n\n" * 166_000,
    "references": "".join(f"[a{number}]: /b\n" for number in range(30_000)),
    "backslashes": "\\*" * 249_000,
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_text_that_would_take_seconds_is_refused(text: str) -> None:
    """Of the many ways to keep a reader busy, none is published; the reason names the bound."""
    with pytest.raises(InvalidRequest, match=f"up to {LINES_AT_MOST} lines and {MARKS_AT_MOST} Markdown characters"):
        agreement_texts.require_readable(HEAD + text)


def test_long_plain_terms_are_taken() -> None:
    """Two hundred pages with headings, emphasis, lists and a table, and our own example."""
    clause = (
        "## 1.1 A clause\n\nThe **Licensee** shall:\n\n- do *this*;\n- and [that](https://x.example).\n\n"
        + "word " * 400
    )
    assert agreement_texts.require_readable(HEAD + clause * 200) == "Terms"
    example = Path(__file__).parents[3] / "config" / "agreements" / "model-sharing.md"
    assert agreement_texts.require_readable(example.read_text(encoding="utf-8"))


@pytest.mark.parametrize("marks", ["> ", "- ", "> - "])
def test_nothing_is_signed_that_is_not_shown(marks: str) -> None:
    """However deep something stands, either the page shows it, or it is refused: the library leaves out the deepest."""
    shown = 0
    for depth in range(1, 30):
        text = f"{HEAD}{marks * depth}Nobody may read this."
        try:
            agreement_texts.require_readable(text)
        except InvalidRequest:
            continue
        shown += 1
        assert "Nobody may read this." in as_html(text)
    assert shown >= 3


def test_it_is_refused_when_it_is_published(world: World) -> None:
    """And a reader of one that was published has it rendered once."""
    for text in (HEAD + "[" * (MARKS_AT_MOST + 1), HEAD + ">" * 40 + " a"):
        with pytest.raises(InvalidRequest):
            agreements.publish(world.use, world.admin, "new-terms", text)
    assert agreements.publish(world.use, world.admin, "new-terms", HEAD + "[" * MARKS_AT_MOST).number == 1
    as_html.cache_clear()
    for _ in range(3):
        assert world.visit("cleared").get("/agreements/new-terms/versions/1").status_code == 200
    assert as_html.cache_info().misses == 1
