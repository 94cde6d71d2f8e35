"""Parts: S3's limits on a file's parts, and the checksum that follows from them."""

import base64
import hashlib
import io

import pytest

from server.storage.object_parts import (
    MIB,
    PARTS_AT_MOST,
    SINGLE_PUT_BELOW_BYTES,
    part_size_bytes,
    read_parts,
    store_checksum,
)

LARGEST_IN_16_MIB = 16 * MIB * PARTS_AT_MOST


@pytest.mark.parametrize(("size", "part_mib"), [
    (0, 16), (16 * MIB, 16), (LARGEST_IN_16_MIB, 16), (LARGEST_IN_16_MIB + 1, 17), (LARGEST_IN_16_MIB * 3, 48),
])  # fmt: skip
def test_parts_are_as_small_as_ten_thousand_of_them_allow(size: int, part_mib: int) -> None:
    """Whole MiB, 16 at least; ten thousand always hold the file."""
    assert part_size_bytes(size) == part_mib * MIB
    assert part_size_bytes(size) * PARTS_AT_MOST >= size


@pytest.mark.parametrize(("size", "lengths"), [
    (0, []), (5, [5]), (16 * MIB, [16 * MIB]), (16 * MIB + 3, [16 * MIB, 3]),
])  # fmt: skip
def test_a_file_is_read_whole(size: int, lengths: list[int]) -> None:
    """In parts of that size, the last one shorter."""
    assert [len(part) for part in read_parts(io.BytesIO(bytes(size)), size)] == lengths


def test_a_file_that_grew_is_read_one_byte_too_far() -> None:
    """So that its hash fails, and no further, however long it has become."""
    assert [len(part) for part in read_parts(io.BytesIO(bytes(1000)), 5)] == [6]


def test_the_checksum_is_that_of_the_parts_where_there_are_parts() -> None:
    """A file that is put in one request has its own, an empty one too."""
    one, two = hashlib.sha256(b"one").digest(), hashlib.sha256(b"two").digest()
    assert store_checksum([], 0) == base64.b64encode(hashlib.sha256(b"").digest()).decode()
    assert store_checksum([one], SINGLE_PUT_BELOW_BYTES - 1) == base64.b64encode(one).decode()
    whole = base64.b64encode(hashlib.sha256(one + two).digest()).decode()
    assert store_checksum([one, two], SINGLE_PUT_BELOW_BYTES + 3) == f"{whole}-2"
