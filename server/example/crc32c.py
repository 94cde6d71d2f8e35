"""CRC-32C of large buffers, thousands of words at a time.

The checksum is linear over XOR, so a register that starts at zero may be split into lanes that advance side by side
and are folded together at the end. A loop over bytes would need minutes for a true-size checkpoint's half gigabyte.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed; RFC 3720, section 12.1
_ALL_ONES = 0xFFFFFFFF
_LANES = 1 << 14
_ROW_BYTES = 4 * _LANES

Words = NDArray[np.uint32]


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C of `data`, a contiguous buffer of any length."""
    octets = np.frombuffer(data, dtype=np.uint8)
    start = octets.size % _ROW_BYTES
    first = np.zeros(_ROW_BYTES, dtype=np.uint8)
    # Zeros in front leave a zero register as it is: so every row is full, and no length is special.
    first[_ROW_BYTES - start :] = octets[:start]
    lanes = first.view("<u4")
    for row in octets[start:].reshape(-1, _ROW_BYTES):
        lanes = _advance(lanes, _ROW_BYTES) ^ row.view("<u4")
    while lanes.size > 1:
        half = lanes.size // 2
        lanes = _advance(lanes[:half], 4 * half) ^ lanes[half:]
    register = int(_advance(lanes, 4)[0])
    return register ^ _advance_one(_ALL_ONES, octets.size) ^ _ALL_ONES


def _advance(registers: Words, size_bytes: int) -> Words:
    """Return the registers after `size_bytes` zero bytes, a power of two."""
    low, high = _tables(size_bytes)
    advanced: Words = low[registers & 0xFFFF] ^ high[registers >> 16]
    return advanced


def _advance_one(register: int, size_bytes: int) -> int:
    for place in range(size_bytes.bit_length()):
        if size_bytes >> place & 1:
            register = _apply(_columns(place + 3), register)
    return register


@lru_cache
def _tables(size_bytes: int) -> tuple[Words, Words]:
    """Return where each low and each high half of a register ends after `size_bytes` zero bytes, a power of two."""
    columns = _columns(size_bytes.bit_length() - 1 + 3)
    return _combinations(columns[:16]), _combinations(columns[16:])


def _combinations(columns: tuple[int, ...]) -> Words:
    """Return, at each index, the XOR of the columns whose bits are set in it."""
    table = np.zeros(1 << len(columns), dtype=np.uint32)
    for place, column in enumerate(columns):
        table[1 << place : 2 << place] = table[: 1 << place] ^ np.uint32(column)
    return table


@lru_cache
def _columns(doublings: int) -> tuple[int, ...]:
    """Return what becomes of each single bit of a register after 2 ** `doublings` zero bits."""
    if doublings == 0:
        return (_POLYNOMIAL, *(1 << place for place in range(31)))
    half = _columns(doublings - 1)
    return tuple(_apply(half, column) for column in half)


def _apply(columns: tuple[int, ...], register: int) -> int:
    result = 0
    for place, column in enumerate(columns):
        if register >> place & 1:
            result ^= column
    return result
