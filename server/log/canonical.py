"""Canonical JSON: the one text of a record, which is stored and hashed as it is and never written again.

Sorted keys, no spaces, UTF-8, ASCII keys; strings, integers below 2^53, booleans, null, lists and objects.
"""

from collections.abc import Mapping
from typing import Any

import orjson

BIGGEST_INTEGER = 2**53 - 1  # beyond it readers that parse numbers as doubles would see another value


_PLAIN = frozenset({str, bool, type(None)})  # most of a record, which needs no further look

Encoded = orjson.Fragment  # canonical bytes made before by `encoded`, to be put into a record as they are


class NotCanonical(ValueError):
    """The value has no canonical text: a float, a too big integer, a lone surrogate, or a key that is not ASCII."""


def encode(record: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of a record. Raises NotCanonical."""
    _require_canonical(record)
    try:
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        raise NotCanonical(
            "a record contains text that is not valid Unicode, or a type that JSON does not have"
        ) from None


def encoded(value: Mapping[str, Any]) -> Encoded:
    """Encode a part that many records share, once. Raises NotCanonical."""
    return orjson.Fragment(encode(value))


def _require_canonical(value: Any) -> None:
    if type(value) in _PLAIN or isinstance(value, str | Encoded):
        return
    if isinstance(value, int):
        if abs(value) > BIGGEST_INTEGER:
            raise NotCanonical("an integer in a record must stay below 2^53")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise NotCanonical("keys of a record are ASCII strings")
            if type(item) not in _PLAIN:
                _require_canonical(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if type(item) not in _PLAIN:
                _require_canonical(item)
    else:
        raise NotCanonical(f"a record cannot contain a {type(value).__name__}")
