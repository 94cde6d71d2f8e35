"""The GGUF header: what a reader would allocate, seek to or look up by it must lie within the file.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, and its reader gguf.cpp, which also refuses arrays
of arrays, repeated names, and tensors that do not follow each other. What no check here judges is the chat template
in the metadata, which readers run in a sandbox.
"""

import io
import os
import struct
from collections.abc import Callable
from typing import BinaryIO, cast

from server.domain.publish.faults import NotPublishable, shown
from server.domain.publish.source_files import SourceFile

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 100_000_000
MAX_ENTRIES = 100_000  # keys, and tensors: real files have some hundreds
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 64
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 20
DEFAULT_ALIGNMENT = 32

_UINT32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, _UINT32: 4, 5: 4, 6: 4, _BOOL: 1, 10: 8, 11: 8, 12: 8}
_MAX_BYTES = 2**63  # readers count in 64 bits; a product beyond it would wrap in some of them
_READ_BYTES = 1 << 20
# Type: elements in a block, bytes a block. Q8_1 (9) is left out: ggml and its Python package disagree on its size, and
# no file holds it. 4, 5, 31 to 33 and 36 to 38 were taken back.
TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip


class HeaderFault(ValueError):
    """What is wrong with a header, in a few words, without the file's name."""


def require_gguf(file: SourceFile) -> None:
    """Raise NotPublishable unless the header is sound and its tensors fill the file."""
    try:
        # A header is read in small steps: without a buffer each of them would be a system call.
        with file.open_unchanged() as raw, io.BufferedReader(cast(io.FileIO, raw), _READ_BYTES) as stream:
            check(stream, file.size_bytes)
    except HeaderFault as fault:
        raise NotPublishable(file.path, f"is not a valid GGUF file: {fault}", "save it again") from None


def check(stream: BinaryIO, size_bytes: int) -> None:
    """Read a header from the stream's beginning. Raises HeaderFault unless it and the file's size agree."""
    header = _Header(stream, size_bytes)
    if header.take(4) != MAGIC:
        raise HeaderFault("it does not begin with GGUF")
    _require_version(header.number(4))
    tensor_count, key_count = header.number(8), header.number(8)
    for what, count in (("tensors", tensor_count), ("keys", key_count)):
        if count > MAX_ENTRIES:
            raise HeaderFault(f"it claims {count} {what}, more than {MAX_ENTRIES}")
    alignment = _alignment(header, key_count)
    end = _end_of_tensors(header, tensor_count, alignment)
    begin = _padded(header.position, alignment) if tensor_count else header.position
    if size_bytes not in {begin + end, begin + _padded(end, alignment)}:
        raise HeaderFault(f"its header and tensors take {begin + end} bytes and the file has {size_bytes}")


class _Header:
    """Reads forward; every length is compared with what is left before anything is read or skipped."""

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self._stream = stream
        self._end = min(size_bytes, MAX_HEADER_BYTES)
        self._is_whole = size_bytes <= MAX_HEADER_BYTES
        self.position = 0

    def take(self, count: int) -> bytes:
        self._claim(count)
        content = self._stream.read(count)
        if len(content) != count:
            raise HeaderFault("the file ends inside the header")
        return content

    def skip(self, count: int) -> None:
        self._claim(count)
        self._stream.seek(count, os.SEEK_CUR)

    def number(self, width_bytes: int) -> int:
        return int.from_bytes(self.take(width_bytes), "little")

    def text(self, what: str, at_most_bytes: int) -> str:
        length = self.number(8)
        if not 0 < length <= at_most_bytes:
            raise HeaderFault(f"{what} has {length} bytes, but only 1 to {at_most_bytes} are allowed")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise HeaderFault(f"{what} is not UTF-8") from None

    def _claim(self, count: int) -> None:
        self.position += count
        if self.position > self._end:
            over = (
                "the file ends inside the header" if self._is_whole else f"its header exceeds {MAX_HEADER_BYTES} bytes"
            )
            raise HeaderFault(over)


def _require_version(version: int) -> None:
    if int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
        raise HeaderFault("it is big-endian, which most readers do not support")
    if version not in VERSIONS:
        raise HeaderFault(f"it is version {version}, but only {' and '.join(map(str, VERSIONS))} are supported")


def _alignment(header: _Header, key_count: int) -> int:
    """Read every key and value; return the alignment that one of them may state."""
    keys: set[str] = set()
    alignment = DEFAULT_ALIGNMENT
    for _ in range(key_count):
        key = header.text("a key", MAX_KEY_BYTES)
        if key in keys:
            raise HeaderFault(f'the key "{shown(key)}" appears twice')
        keys.add(key)
        kind = header.number(4)
        if key != "general.alignment":
            _skip_value(header, key, kind)
            continue
        alignment = header.number(4) if kind == _UINT32 else 0
        if alignment % 8 or alignment.bit_count() != 1 or alignment > MAX_ALIGNMENT:
            raise HeaderFault(f"its alignment is not a power of two from 8 to {MAX_ALIGNMENT}")
    return alignment


def _skip_value(header: _Header, key: str, kind: int) -> None:
    if kind == _ARRAY:
        item_kind, count = header.number(4), header.number(8)
        if item_kind == _ARRAY:
            raise HeaderFault(f'"{shown(key)}" is an array of arrays')
        _skip_items(header, key, item_kind, count)
    else:
        _skip_items(header, key, kind, 1)


def _skip_items(header: _Header, key: str, kind: int, count: int) -> None:
    if kind == _STRING:
        for _ in range(count):  # each takes eight bytes at least, so the header's end bounds it
            header.skip(header.number(8))
    elif kind == _BOOL:
        _require_booleans(key, header.take, count)
    elif kind in _SCALAR_BYTES:
        header.skip(count * _SCALAR_BYTES[kind])
    else:
        raise HeaderFault(f'"{shown(key)}" has the unknown type {kind}')


def _require_booleans(key: str, take: Callable[[int], bytes], count: int) -> None:
    if take(count).strip(b"\0\1"):
        raise HeaderFault(f'"{shown(key)}" contains a boolean that is neither 0 nor 1')


def _end_of_tensors(header: _Header, tensor_count: int, alignment: int) -> int:
    """Read what is said of each tensor; return where the last one ends, from the beginning of the data."""
    names: set[str] = set()
    end = 0
    for _ in range(tensor_count):
        name = header.text("a tensor's name", MAX_NAME_BYTES)
        if name in names:
            raise HeaderFault(f'the tensor "{shown(name)}" appears twice')
        names.add(name)
        dimensions = header.number(4)
        if not 0 < dimensions <= MAX_DIMENSIONS:
            raise HeaderFault(
                f'tensor "{shown(name)}" has {dimensions} dimensions, but only 1 to {MAX_DIMENSIONS} are supported'
            )
        lengths = struct.unpack(f"<{dimensions}Q", header.take(8 * dimensions))
        kind, offset = header.number(4), header.number(8)
        due = _padded(end, alignment)
        if offset != due:
            raise HeaderFault(f'tensor "{shown(name)}" begins at {offset} instead of {due}')
        end = offset + _size_bytes(name, lengths, kind)
    return end


def _size_bytes(name: str, lengths: tuple[int, ...], kind: int) -> int:
    if kind not in TYPES:
        raise HeaderFault(f'tensor "{shown(name)}" has the unknown type {kind}')
    block_elements, block_bytes = TYPES[kind]
    if lengths[0] % block_elements:
        raise HeaderFault(f'tensor "{shown(name)}" has rows of {lengths[0]}, not of whole blocks of {block_elements}')
    size_bytes = lengths[0] // block_elements * block_bytes
    for length in lengths[1:]:
        size_bytes *= length
    # Zeros count as ones here, so that no order of factors can hide an overflow.
    elements = 1
    for length in lengths:
        elements *= max(length, 1)
    if elements * block_bytes >= _MAX_BYTES:
        raise HeaderFault(f'tensor "{shown(name)}" has a shape too large to count')
    return size_bytes


def _padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment
