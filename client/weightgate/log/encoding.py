"""Encodings that leave no choice: one text for each value, so that nothing can be said in two ways."""

import base64
import binascii
import json
import re
from typing import Any

from weightgate.verdicts import Malformed

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_NUMBERS_BELOW = 2**63
# Printable ASCII without '+' and without a scheme; so it is also safe to print.
_ORIGIN = re.compile(r"(?!.*://)[!-*,-~]{1,200}")
_NAME_CHARACTERS_AT_MOST = 200


def decode_base64(text: str, size_bytes: int | None = None) -> bytes:
    """Decode standard base64 with its padding (RFC 4648, section 4); other spellings of the same bytes are refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("a value is not valid base64") from None
    if encode_base64(data) != text:
        raise Malformed("a value is not in canonical base64")
    if size_bytes is not None and len(data) != size_bytes:
        raise Malformed(f"a value has {len(data)} bytes, not {size_bytes}")
    return data


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode_decimal(text: str) -> int:
    """A number from 0 to 2^63 - 1, without sign and leading zeros."""
    if not _DECIMAL.fullmatch(text) or int(text) >= _NUMBERS_BELOW:
        raise Malformed("a number is not in plain decimal form")
    return int(text)


def require_origin(text: str) -> str:
    """A log's name, like weights.example.org/downloads/2026."""
    if not _ORIGIN.fullmatch(text):
        raise Malformed("the log's name is not of the form host/downloads/year")
    return text


def require_key_name(text: str) -> str:
    """A key's name, in any script; without what a terminal would not show as it is (c2sp.org/signed-note)."""
    if not 0 < len(text) <= _NAME_CHARACTERS_AT_MOST or " " in text or "+" in text or not text.isprintable():
        raise Malformed("a key's name has a space, a plus sign or an unprintable character, or is empty or too long")
    return text


def value_after(line: str, label: str) -> str:
    """What stands after `label` and one space."""
    if not line.startswith(f"{label} "):
        raise Malformed(f"the line `{label}` is missing or misplaced")
    return line[len(label) + 1 :]


def load_json_object(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object. A key that stands there twice is refused: two readers could read two different things."""
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a JSON key appears twice")
    return found
