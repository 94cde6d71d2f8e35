"""The sorted table that TensorFlow keeps a checkpoint's index in: LevelDB's file, with TensorFlow's block size.

Source: LevelDB, doc/table_format.md; tensorflow/core/lib/io/{block_builder,format,table_builder}.cc.
"""

from collections.abc import Iterator, Sequence

from server.example.crc32c import crc32c
from server.example.protobuf import varint

Entry = tuple[bytes, bytes]

_MAGIC = 0xDB4775248B80FB57
_HANDLES_BYTES = 40  # two block handles at their longest
_UNCOMPRESSED = b"\0"
_RESTART_INTERVAL = 16
_MASK_DELTA = 0xA282EAD8


def table(entries: Sequence[Entry], block_size_bytes: int = 256 * 1024) -> bytes:
    """Return the table's file of `entries`, keys ascending and each once.

    block_size_bytes: a block ends with the entry that fills it so far.
    Raises ValueError when the keys do not ascend.
    """
    file = bytearray()
    index = [
        (group[-1][0], _append(file, _block(group, _RESTART_INTERVAL))) for group in _groups(entries, block_size_bytes)
    ]
    if index:
        index[-1] = (_short_successor(index[-1][0]), index[-1][1])
    metaindex_handle = _append(file, _block([], _RESTART_INTERVAL))
    index_handle = _append(file, _block(index, 1))
    file += (metaindex_handle + index_handle).ljust(_HANDLES_BYTES, b"\0") + _MAGIC.to_bytes(8, "little")
    return bytes(file)


def masked_crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the checksum as it is stored: a checksum over bytes that hold their own checksum would be a weak one."""
    plain = crc32c(data)
    return ((plain >> 15 | plain << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _groups(entries: Sequence[Entry], block_size_bytes: int) -> Iterator[list[Entry]]:
    group: list[Entry] = []
    size_bytes = 0
    for (key, value), previous in zip(entries, [None, *entries], strict=False):
        if previous is not None and key <= previous[0]:
            raise ValueError(f"keys must ascend: {key!r} after {previous[0]!r}")
        group.append((key, value))
        size_bytes += len(key) + len(value)
        if size_bytes >= block_size_bytes:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def _block(entries: Sequence[Entry], restart_interval: int) -> bytes:
    """Return a block: every `restart_interval`-th key whole, the others without what they share with the one before."""
    content = bytearray()
    restarts = [0]
    previous = b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % restart_interval:
            shared = _shared_length(previous, key)
        elif number:
            restarts.append(len(content))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    for number in (*restarts, len(restarts)):
        content += number.to_bytes(4, "little")
    return bytes(content)


def _shared_length(left: bytes, right: bytes) -> int:
    limit = min(len(left), len(right))
    return next((place for place in range(limit) if left[place] != right[place]), limit)


def _short_successor(key: bytes) -> bytes:
    """Return a short key that is not below `key`. TensorFlow ends its index so, and our files are to equal its own."""
    for place, byte in enumerate(key):
        if byte < 0xFF:
            return key[:place] + bytes([byte + 1])
    return key


def _append(file: bytearray, block: bytes) -> bytes:
    """Add a block with its trailer to the file; return its handle."""
    handle = varint(len(file)) + varint(len(block))
    typed = block + _UNCOMPRESSED
    file += typed + masked_crc32c(typed).to_bytes(4, "little")
    return handle
