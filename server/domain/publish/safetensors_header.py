"""The safetensors header: read strictly, so that every reader of the file sees the same tensors.

Source: the safetensors format, https://github.com/huggingface/safetensors#format, and its library 0.8. Stricter than
the library, which accepts duplicate keys and unknown fields: two readers could then disagree on what a file holds.
"""

import json
from collections.abc import Mapping
from typing import BinaryIO, NoReturn, TypeGuard

from server.domain.publish.faults import NotPublishable, shown
from server.domain.publish.source_files import SourceFile

MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
LIBRARY = "safetensors 0.8.0"  # whose list of dtypes is the one below

_BITS = (
    {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
    | dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
    | dict.fromkeys(("I16", "U16", "F16", "BF16"), 16)
    | dict.fromkeys(("I32", "U32", "F32"), 32)
    | dict.fromkeys(("I64", "U64", "F64", "C64"), 64)
)
_TENSOR_KEYS = {"dtype", "shape", "data_offsets"}
_MAX_BITS = 2**63  # readers count in 64 bits; a product beyond it would wrap in some of them
_MAX_DIGITS = 20


def read_tensors(file: SourceFile) -> dict[str, int]:
    """Return how many bytes each tensor of a safetensors file takes. Raises NotPublishable when it is not sound."""
    try:
        with file.open_unchanged() as stream:
            header, data_bytes = _read_header(stream, file.size_bytes)
        return parse_header(header, data_bytes)
    except HeaderFault as fault:
        raise NotPublishable(file.path, f"is not a valid safetensors file: {fault}", "save it again") from None


class HeaderFault(ValueError):
    """What is wrong with a header, in a few words, without the file's name."""


def parse_header(header: bytes, data_bytes: int) -> dict[str, int]:
    """Return the bytes each tensor takes. Raises HeaderFault unless they fill `data_bytes` without gap or overlap."""
    if not header.startswith(b"{"):
        raise HeaderFault("the header does not start with {")
    entries = _parse_json(header)
    _require_metadata(entries.pop("__metadata__", {}))
    spans = sorted((*_span(name, entry), name) for name, entry in entries.items())
    position = 0
    for begin, end, name in spans:
        if begin != position:
            raise HeaderFault(f"tensor {_quoted(name)} begins at {begin} instead of {position}")
        position = end
    if position != data_bytes:
        raise HeaderFault(f"the tensors take {position} bytes and the file has {data_bytes} for them")
    return {name: end - begin for begin, end, name in spans}


def _read_header(stream: BinaryIO, size_bytes: int) -> tuple[bytes, int]:
    length = int.from_bytes(_read_exactly(stream, LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise HeaderFault(f"the header claims {length} bytes, more than {MAX_HEADER_BYTES}")
    if LENGTH_BYTES + length > size_bytes:
        raise HeaderFault(f"the header claims {length} bytes, more than the file has")
    return _read_exactly(stream, length), size_bytes - LENGTH_BYTES - length


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        block = stream.read(count - len(content))
        if not block:
            raise HeaderFault("the file ends inside the header")
        content += block
    return bytes(content)


def _parse_json(header: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(
            header.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_count,
            parse_float=_no_fraction,
            parse_constant=_no_fraction,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise HeaderFault("the header is not UTF-8 JSON") from None
    if not isinstance(parsed, dict):
        raise HeaderFault("the header is not a JSON object")
    return parsed


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise HeaderFault(f"the key {_quoted(key)} appears twice")
        result[key] = value
        for text in (key, value):
            if isinstance(text, str) and not _is_unicode(text):
                raise HeaderFault(f"the text {_quoted(text)} contains half a surrogate pair")
    return result


def _is_unicode(text: str) -> bool:
    # Python reads the JSON text "\ud800" as a string that no other reader accepts.
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _count(literal: str) -> int:
    if literal.startswith("-") or len(literal) > _MAX_DIGITS:
        raise HeaderFault(f"the number {literal[:_MAX_DIGITS]} is negative or too large")
    return int(literal)


def _no_fraction(literal: str) -> NoReturn:
    raise HeaderFault(f"the number {literal[:_MAX_DIGITS]} is not an integer")


def _require_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderFault("__metadata__ does not map text to text")


def _span(name: str, entry: object) -> tuple[int, int]:
    """Return where the tensor's bytes begin and end. Raises HeaderFault unless type, shape and offsets agree."""
    tensor = _quoted(name)
    if not isinstance(entry, Mapping) or entry.keys() != _TENSOR_KEYS:
        raise HeaderFault(f"tensor {tensor} does not have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise HeaderFault(f"tensor {tensor} has the dtype {_quoted(str(dtype))}, which {LIBRARY} does not know")
    if not _are_counts(shape):
        raise HeaderFault(f"tensor {tensor} has a shape that is not a list of integers from 0")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderFault(f"tensor {tensor} has data_offsets that are not a begin and an end")
    begin, end = offsets
    if _bits(tensor, shape, _BITS[dtype]) != (end - begin) * 8:
        raise HeaderFault(f"tensor {tensor} takes {end - begin} bytes, which does not match its shape and dtype")
    return begin, end


def _bits(tensor: str, shape: list[int], element_bits: int) -> int:
    """Count a tensor's bits; zeros count as ones until the end, so that no order of factors can hide an overflow."""
    product = element_bits
    for length in shape:
        product *= max(length, 1)
        if product >= _MAX_BITS:
            raise HeaderFault(f"tensor {tensor} has a shape too large to count")
    return 0 if 0 in shape else product


def _are_counts(value: object) -> TypeGuard[list[int]]:
    # bool is an int to Python: `true` must not pass for 1. The sign was checked while parsing.
    return isinstance(value, list) and all(type(number) is int for number in value)


def _quoted(text: str) -> str:
    return f'"{shown(text)}"'
