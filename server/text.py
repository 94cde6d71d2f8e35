"""Text that others chose, before it is kept or shown: nothing in it may act on a database, a terminal or a mail."""

from unicodedata import name

_BREAKS = {"\n": "a line break", "\r": "a line break", "\t": "a tab"}


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """Return it with `instead` for each character that cannot be seen: control characters, line breaks, surrogates.

    PostgreSQL stores neither NUL nor lone surrogates, and a control sequence could rewrite what a terminal shows.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else instead for letter in text)


def lines(text: str) -> str:
    """Return it with each line break as one character: browsers send two, and a limit would count both."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unseen(text: str) -> str:
    """Return the name of the first character that cannot be seen, `ZERO WIDTH SPACE` or `U+0007`; "" without any."""
    hidden = next((letter for letter in text if not letter.isprintable()), None)
    return "" if hidden is None else _BREAKS.get(hidden, name(hidden, f"U+{ord(hidden):04X}"))


def is_writable(text: str) -> bool:
    """Whether it is printable but for its line breaks and tabs: what may be kept of a longer text."""
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)
