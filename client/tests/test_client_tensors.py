"""Where tensors lie, by a head that nobody has proven."""

import json
import struct

import pytest

from weightgate.download.tensors import LENGTH_BYTES, Layout, head_bytes, layout


def head(listed: object) -> bytes:
    text = listed if isinstance(listed, bytes) else json.dumps(listed).encode()
    return struct.pack("<Q", len(text)) + text


def tensor(begin: object, end: object, dtype: object = "F16") -> dict[str, object]:
    return {"dtype": dtype, "shape": [1], "data_offsets": [begin, end]}


def test_tensors_stand_in_the_order_of_their_data() -> None:
    """With their places in the file, whatever the order of the head."""
    written = head({"__metadata__": {"format": "pt"}, "b": tensor(6, 8), "a": tensor(0, 6)})
    assert head_bytes(written[:LENGTH_BYTES], len(written) + 8) == len(written)
    found = layout(written, len(written) + 8)
    assert [(one.name, one.begin - len(written), one.end - len(written)) for one in found.tensors] == [
        ("a", 0, 6),
        ("b", 6, 8),
    ]


@pytest.mark.parametrize(
    "listed",
    [
        b"", b"[]", b"{", b"\xff", b"[" * 100_000, {"a": 1}, {"a": {}}, {"a": tensor(-9, 2)}, {"a": tensor(0, 2**70)},
        {"a": tensor(5, 2)}, {"a": tensor(float("inf"), 2)}, {"a": tensor("x", 2)}, {"a": tensor(None, 2)},
    ],
)  # fmt: skip
def test_a_head_that_cannot_be_right_has_no_tensors(listed: object) -> None:
    """Nothing is raised for it: its file is fetched."""
    assert layout(head(listed), 1_000_000) == Layout()


@pytest.mark.parametrize("length", [b"", b"\x02", struct.pack("<Q", 10_000), struct.pack("<Q", 2**63)])
def test_a_head_longer_than_its_file_is_none(length: bytes) -> None:
    """So nothing is asked for that is not there, and no memory is taken for it."""
    assert head_bytes(length, 5_000) == 0
