"""Ways to change a text that proves something: what an attacker has of it, or makes of it, short of guessing.

A kind takes the text, another one of its sort that is somebody else's, and chance; each gives very many texts.
"""

import random
import string
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import NamedTuple

LOOK_ALIKES = str.maketrans(
    "AaBceEHKopPTxy0", "\u0410\u0430\u0412\u0441\u0435\u0415\u041d\u041a\u043e\u0440\u0420\u0422\u0445\u0443\u041e"
)
FULL_WIDTH = {ord(letter): ord(letter) + 0xFEE0 for letter in string.printable if "!" <= letter <= "~"}
WORDS = ("", "*", "%", "_", "null", "undefined", "true", "0", "' OR ''='", "../../etc/passwd", "{{7*7}}", "[]", "\\")
LETTERS = string.ascii_letters + string.digits + "-_.~=/+%"

Kind = Callable[[str, str, random.Random], str]


class Mutated(NamedTuple):
    """A changed text, and in which way it was."""

    kind: str
    text: str


def _replaced(text: str, place: int, by: str) -> str:
    return text[:place] + by + text[place + 1 :]


def _place(text: str, chance: random.Random) -> int:
    return chance.randrange(len(text))


def _bit(text: str, _: str, chance: random.Random) -> str:
    place = _place(text, chance)
    return _replaced(text, place, chr(ord(text[place]) ^ 1 << chance.randrange(7)))


def _letter(text: str, _: str, chance: random.Random) -> str:
    return _replaced(text, _place(text, chance), chance.choice(LETTERS))


def _inserted(text: str, _: str, chance: random.Random) -> str:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(LETTERS) + text[place:]


def _removed(text: str, _: str, chance: random.Random) -> str:
    return _replaced(text, _place(text, chance), "")


def _exchanged(text: str, _: str, chance: random.Random) -> str:
    first, second = _place(text, chance), _place(text, chance)
    return _replaced(_replaced(text, first, text[second]), second, text[first])


def _case(text: str, _: str, chance: random.Random) -> str:
    place = _place(text, chance)
    return _replaced(text, place, text[place].swapcase())


def _cut(text: str, _: str, chance: random.Random) -> str:
    return text[: _place(text, chance)]


def _spliced(text: str, other: str, chance: random.Random) -> str:
    place = chance.randrange(1, len(text))
    return chance.choice([text[:place] + other[place:], other[:place] + text[place:]])


def _in_percent_form(text: str, _: str, chance: random.Random) -> str:
    place = _place(text, chance)
    return _replaced(text, place, f"%25{ord(text[place]):02X}")


def _zeros(text: str, _: str, chance: random.Random) -> str:
    place = _place(text, chance)
    return text[:place] + chance.choice("0A\x00") * (len(text) - place)


KINDS: dict[str, Kind] = {
    "a bit flipped": _bit,
    "another letter": _letter,
    "a letter more": _inserted,
    "a letter less": _removed,
    "two letters exchanged": _exchanged,
    "a letter in the other case": _case,
    "cut short": _cut,
    "half of it another's": _spliced,
    "a letter in percent form, twice": _in_percent_form,
    "the rest zeros": _zeros,
    "a part of it twice": lambda text, _, chance: text + text[_place(text, chance) :],
    "in the other case": lambda text, _, chance: _cut(text.swapcase(), "", chance) + text[-1:],
    "backwards": lambda text, _, chance: _exchanged(text[::-1], "", chance),
    "in base64": lambda text, _, chance: b64encode((text + chance.choice(LETTERS)).encode()).decode(),
    "in quotes of another kind": lambda text, _, chance: chance.choice(["'{}'", "`{}`", "({})", "[{}]"]).format(text),
    "letters that look alike": lambda text, _, chance: _letter(text.translate(LOOK_ALIKES), "", chance),
    "letters of full width": lambda text, _, chance: _letter(text.translate(FULL_WIDTH), "", chance),
    "a word for everything": lambda text, _, chance: chance.choice(WORDS) + chance.choice(["", text[:4]]),
}  # fmt: skip


def mutated(text: str, other: str, chance: random.Random, count: int) -> Iterator[Mutated]:
    """So many changed texts, each kind in turn."""
    kinds = list(KINDS.items())
    for number in range(count):
        name, kind = kinds[number % len(kinds)]
        yield Mutated(name, kind(text, other, chance))
