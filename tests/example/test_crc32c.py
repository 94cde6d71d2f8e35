"""The checksum agrees with the standard's vectors, and with the slow way at every length where the fast way turns."""

import random

import pytest

from server.example.crc32c import crc32c

_ROW_BYTES = 1 << 16


def _slowly(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
    ids=["zeros", "ones", "ascending", "descending", "digits", "empty"],
)
def test_known_answers(data: bytes, expected: int) -> None:
    """RFC 3720, appendix B.4, and the check value that every catalogue of checksums gives."""
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [1, 3, 4, 5, _ROW_BYTES - 1, _ROW_BYTES, _ROW_BYTES + 1, 2 * _ROW_BYTES + 7])
def test_every_length_agrees_with_the_definition(size: int) -> None:
    """Short of a row, exactly a row, beyond it: the sum is the one the polynomial defines."""
    data = random.Random(size).randbytes(size)  # noqa: S311  # the same bytes every time, nothing secret
    assert crc32c(data) == _slowly(data)


def test_a_view_into_the_middle_of_a_buffer_is_taken_as_it_is() -> None:
    """A tensor's bytes need not start at a word's boundary."""
    data = bytes(range(256)) * 600
    assert crc32c(memoryview(data)[3:-2]) == crc32c(data[3:-2])
