"""Strict JSON: what two readers could understand in two ways is no JSON here."""

import pytest

from server.storage import strict_json
from server.storage.strict_json import NotStrict


def test_an_object_is_read() -> None:
    """Deep inside, too."""
    assert strict_json.load_object(b'{"a": {"b": [1, "\\u00e4"]}}') == {"a": {"b": [1, "\u00e4"]}}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"{'a': 1}", b'{"a": 1} x', b'{"a": 1, "a": 1}',
        b'{"x": {"a": 1, "a": 2}}', b'{"a": NaN}', b'{"a": -Infinity}', b"\xff", b"\xef\xbb\xbf{}",
        b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000,
    ],
)  # fmt: skip
def test_everything_else_is_refused(data: bytes) -> None:
    """With a sentence that quotes nothing of it."""
    with pytest.raises(NotStrict) as refused:
        strict_json.load_object(data)
    assert str(refused.value) in {"is not JSON", "is not a JSON object", "contains the same key twice"}
