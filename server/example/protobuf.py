"""The few encodings of Protocol Buffers that checkpoint files need.

Source: protobuf.dev, "Encoding". A field that holds its default is left out, as the library's own writer does.
"""

_VARINT, _LENGTH, _FIXED32 = 0, 2, 5


def varint(value: int) -> bytes:
    """Return `value`, not negative, seven bits a byte, lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def integer(field: int, value: int) -> bytes:
    """Return a numeric, boolean or enumeration field, or nothing for zero."""
    return _tag(field, _VARINT) + varint(value) if value else b""


def message(field: int, *parts: bytes) -> bytes:
    """Return a length-delimited field, also when it is empty: an empty message differs from an absent one."""
    content = b"".join(parts)
    return _tag(field, _LENGTH) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """Return a string field, also when it is empty: in a repeated field each one counts."""
    return message(field, value.encode())


def fixed32(field: int, value: int) -> bytes:
    """Return a field of four little-endian bytes."""
    return _tag(field, _FIXED32) + value.to_bytes(4, "little")


def _tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)
