"""Look-alikes: names that a person would take for each other, whatever letters they are made of."""

import unicodedata
from collections.abc import Iterable

# What Cyrillic and Greek letters look like, small or capital, and Latin letters, digits and signs among themselves.
_LETTERS = "авсеԁнһіјкӏмпорԛѕтуѵԝх" + "αβεζηικμνορτυχγ" + "i1|05"
_LIKE = str.maketrans(_LETTERS, "abcedhhljklmnopqstyvwx" + "abezhlkmnoptuxy" + "lllos")
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def skeleton(name: str) -> str:
    """Return what a hurried reader sees: no case, accents, spaces or signs, and one letter for all that look alike."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    seen = "".join(letter for letter in plain.translate(_LIKE) if letter.isalnum())
    for pair, single in _PAIRS:
        seen = seen.replace(pair, single)
    return seen


def of(name: str, others: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of (id, name) whose name looks like this one."""
    seen = skeleton(name)
    return [(known, other) for known, other in others if skeleton(other) == seen]
