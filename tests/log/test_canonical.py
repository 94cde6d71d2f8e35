"""Canonical JSON: one text for one record, and nothing that readers could take for something else."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.log import canonical
from server.log.canonical import BIGGEST_INTEGER, NotCanonical

keys = st.text(st.characters(codec="ascii"), max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-BIGGEST_INTEGER, BIGGEST_INTEGER) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))
records = st.dictionaries(keys, values, max_size=5)


@given(record=records)
def test_what_is_read_back_is_written_the_same(record: dict[str, Any]) -> None:
    """encode, decode, encode is encode: whoever has the value has the bytes."""
    text = canonical.encode(record)
    assert json.loads(text) == record
    assert canonical.encode(json.loads(text)) == text


@given(record=records)
def test_the_bytes_are_those_of_the_format_s_words(record: dict[str, Any]) -> None:
    """Sorted keys, no spaces, UTF-8: Python's own encoder, so asked, agrees to the byte."""
    expected = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert canonical.encode(record) == expected.encode()


@given(record=records)
def test_the_order_of_insertion_does_not_show(record: dict[str, Any]) -> None:
    """Two who build the same record differently hash the same bytes."""
    assert canonical.encode(dict(reversed(record.items()))) == canonical.encode(record)


@given(part=records, other=records)
def test_a_part_that_was_encoded_before_is_put_in_as_it_is(part: dict[str, Any], other: dict[str, Any]) -> None:
    """A record with encoded parts has the bytes of the plain one, in lists and below keys alike."""
    plain = {"parts": [part, other], "one": {"inner": part}, "z": 1}
    encoded = {
        "parts": [canonical.encoded(part), canonical.encoded(other)], "one": {"inner": canonical.encoded(part)}, "z": 1,
    }  # fmt: skip
    assert canonical.encode(encoded) == canonical.encode(plain)


class Word(StrEnum):
    """Text by another name."""

    YES = "yes"


class Number(IntEnum):
    """A number by another name."""

    ONE = 1


class Lazy(Mapping[str, int]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


NOT_CANONICAL: list[Any] = [
    1.0, 0.1, -0.0, float("nan"), float("inf"), -float("inf"), 1e300,
    BIGGEST_INTEGER + 1, -BIGGEST_INTEGER - 1, 2**64, -(2**63), 10**400,
    "\ud800", "a\udfffb", "\udc80",
    b"bytes", {1, 2}, datetime(2026, 1, 1, tzinfo=UTC), 1j, ..., range(3),
    {1: "a"}, {None: 1}, {True: 1}, {"é": 1}, {"\ud800": 1}, {("a",): 1}, MappingProxyType({"a": 1}), Lazy(),
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_CANONICAL, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("place", ["value", "in a list", "in an object"])
def test_what_has_no_one_text_is_refused(value: Any, place: str) -> None:
    """Floats, big numbers, half characters, odd keys and odd types are refused wherever they stand."""
    record = {"value": {"a": value}, "in a list": {"a": [1, [value]]}, "in an object": {"a": {"b": {"c": value}}}}
    with pytest.raises(NotCanonical):
        canonical.encode(record[place])


@pytest.mark.parametrize("key", ["é", "\ud800", 1, None, Word.YES])
def test_a_record_s_own_keys_are_plain_ascii_text(key: Any) -> None:
    """At the top as well."""
    with pytest.raises(NotCanonical):
        canonical.encode({key: 1})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (BIGGEST_INTEGER, b"9007199254740991"), (-BIGGEST_INTEGER, b"-9007199254740991"), (True, b"true"), (0, b"0"),
        ("é\u2028\x7f\0\x1f\"\\/", '"é\u2028\x7f\\u0000\\u001f\\"\\\\/"'.encode()),
        ((1, 2), b"[1,2]"), ([], b"[]"), ({}, b"{}"),
        (Word.YES, b'"yes"'), (Number.ONE, b"1"), ("\U0001f600", "\"\U0001f600\"".encode()),
    ],
)  # fmt: skip
def test_the_edges_are_written_like_this(value: Any, text: bytes) -> None:
    """Known answers at the edges of what is allowed."""
    assert canonical.encode({"a": value}) == b'{"a":' + text + b"}"


def test_a_nesting_without_end_is_refused() -> None:
    """Depth must not bring the writer down half way."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(NotCanonical):
        canonical.encode(deep)
