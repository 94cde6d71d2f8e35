"""A byte-level vocabulary of any size, in GPT-2's form: 256 bytes, merged pairs, and the end of a text.

Source of the form: openai/gpt-2, src/encoder.py.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product

from server.example.reading import TEXT

END_OF_TEXT = "<|endoftext|>"
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """ids: each token's number, bytes first, `END_OF_TEXT` last. merges: the pairs to join, most urgent first."""

    ids: dict[str, int]
    merges: tuple[Pair, ...]

    def merges_text(self) -> str:
        """Return the merges as `vocab.bpe` and `merges.txt` hold them."""
        return "\n".join(["#version: 0.2", *(f"{left} {right}" for left, right in self.merges)]) + "\n"


def vocabulary(size: int) -> Vocabulary:
    """Return a vocabulary of `size` tokens, 257 to 50,257.

    The merges are learned from a short text; where it has no more pairs to teach, pairs of bytes follow in order.
    """
    letters = byte_letters()
    tokens = dict.fromkeys(letters.values())
    merges: list[Pair] = []
    for left, right in (*_learned_merges(), *product(letters.values(), repeat=2)):
        if len(tokens) + 1 == size:
            break
        if left + right not in tokens:
            tokens[left + right] = None
            merges.append((left, right))
    return Vocabulary({token: number for number, token in enumerate((*tokens, END_OF_TEXT))}, tuple(merges))


@cache
def byte_letters() -> dict[int, str]:
    """Return a visible letter for each byte, in GPT-2's order: printable ones stand for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}


@cache
def _learned_merges() -> tuple[Pair, ...]:
    """Return the pairs to join, each the most frequent one left, until none occurs twice."""
    letters = byte_letters()
    words = Counter(tuple(letters[byte] for byte in word.encode()) for word in _WORDS.findall(TEXT))
    merges: list[Pair] = []
    while True:
        counts: Counter[Pair] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=("", ""))
        if counts[best] < 2:
            return tuple(merges)
        merges.append(best)
        joined: Counter[tuple[str, ...]] = Counter()
        for word, times in words.items():
            joined[_join(word, best)] += times
        words = joined


def _join(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    result: list[str] = []
    for symbol in word:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return tuple(result)
