"""Tensors: where they lie in a safetensors file, to find those that another file has at another place.

Source: the safetensors format, https://github.com/huggingface/safetensors#format. Nothing that is read here is
believed: what is put together by it is hashed. So a header that cannot be read is one without tensors.
"""

from dataclasses import dataclass

from weightgate.log.encoding import load_json_object
from weightgate.verdicts import Malformed

SUFFIX = ".safetensors"
LENGTH_BYTES = 8
_HEAD_BYTES_AT_MOST = 100_000_000  # the format's


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's place in its file, `end` excluded, in bytes."""

    name: str
    dtype: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies in a file. head: its bytes up to the data; tensors: in the order of their data."""

    head: bytes = b""
    tensors: tuple[Tensor, ...] = ()


def head_bytes(length: bytes, file_bytes: int) -> int:
    """Return how long the head is, by the first bytes of a file; 0 for what is no safetensors file."""
    size = LENGTH_BYTES + int.from_bytes(length, "little")
    return size if len(length) == LENGTH_BYTES and size <= min(file_bytes, _HEAD_BYTES_AT_MOST) else 0


def layout(head: bytes, file_bytes: int) -> Layout:
    """Read a whole head; what is none has no tensors."""
    try:
        listed = load_json_object(head[LENGTH_BYTES:])
        listed.pop("__metadata__", None)
        found = [
            Tensor(name, str(entry["dtype"]), *(len(head) + int(offset) for offset in entry["data_offsets"]))
            for name, entry in listed.items()
        ]
    except (Malformed, LookupError, TypeError, ValueError, OverflowError):
        return Layout()
    if any(not len(head) <= tensor.begin <= tensor.end <= file_bytes for tensor in found):
        return Layout()
    return Layout(head, tuple(sorted(found, key=lambda tensor: tensor.begin)))
