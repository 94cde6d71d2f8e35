"""Text of others: nothing of it acts on what keeps or shows it, and everything that can be seen stays."""

import pytest

from server.text import is_writable, printable, unseen

SEEN = "Ada Löwe, 模型, \N{GRINNING FACE}"
UNSEEN = ["\0", "\x1b", "\r", "\n", "\t", "\x7f", "\u202e", "\u2028", "\ud800", "\N{SOFT HYPHEN}"]


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_what_cannot_be_seen_is_replaced(letter: str) -> None:
    """Each by one character, or by what the caller wants in its place."""
    assert printable(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"
    assert printable(f"a{letter}b", " ") == "a b"
    assert printable(f"a{letter}b", "") == "ab"


def test_what_can_be_seen_stays() -> None:
    """Other scripts are no danger."""
    assert printable(SEEN) == SEEN
    assert is_writable(SEEN)


@pytest.mark.parametrize("letter", UNSEEN, ids=ascii)
def test_a_longer_text_has_line_breaks_and_tabs_and_nothing_else(letter: str) -> None:
    """What is kept of a form's text area is what somebody could read in it."""
    assert is_writable(f"a{letter}b") is (letter in "\r\n\t")


@pytest.mark.parametrize(
    ("text", "named"),
    [("plain", ""), ("çok", ""), ("a\u200bb\u200c", "ZERO WIDTH SPACE"), ("a\x07", "U+0007"), ("a\nb", "a line break")],
)
def test_what_cannot_be_seen_is_named(text: str, named: str) -> None:
    """The first of it: nobody would find it otherwise."""
    assert unseen(text) == named
