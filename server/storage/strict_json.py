"""Strict JSON: an object that means the same to everybody who reads it, from somebody whom we do not know."""

import json
from typing import Any


class NotStrict(ValueError):
    """The bytes are no such object. The text completes "it …", and quotes nothing of them."""


def load_object(data: bytes) -> dict[str, Any]:
    """Return the one object in `data`. Raises NotStrict: not UTF-8, not JSON, a key twice, NaN, or too deep."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except NotStrict:
        raise
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or a number of thousands of digits
        raise NotStrict("is not JSON") from None
    if not isinstance(value, dict):
        raise NotStrict("is not a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("contains the same key twice")
    return found


def _no_constant(_: str) -> Any:
    raise NotStrict("is not JSON")
