"""A GGUF file is accepted when its header and its size agree; whatever else the bytes are, the refusal is typed."""

import io
import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.publish import formats, gguf_header
from server.domain.publish.gguf_header import TYPES, HeaderFault, check
from tests.domain.publish.folders import put, refusals

# Written by the PyPI package gguf 0.19.0 (GGUFWriter): values of many types, four tensors, alignment 64.
OFFICIAL = (Path(__file__).parents[2] / "vectors" / "gguf" / "llama.gguf").read_bytes()
U32, BOOL, TEXT, ARRAY = 4, 7, 8, 9


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes, lengths: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(lengths)}QIQ", len(lengths), *lengths, kind, offset)


def build(
    pairs: tuple[bytes, ...] = (), tensors: tuple[bytes, ...] = (tensor(b"w"),), data_bytes: int = 16, align: int = 32
) -> bytes:
    """A file with so many zero bytes behind its padded header."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % align) + bytes(data_bytes)


ALIGNED = pair(b"general.alignment", U32, struct.pack("<I", 8))
GOOD = build((ALIGNED, pair(b"name", TEXT, text(b"x")), pair(b"ok", BOOL, b"\1")), align=8)

ACCEPTED = {
    "as the official package writes": OFFICIAL,
    "by hand": GOOD,
    "version 2": GOOD.replace(b"GGUF\x03", b"GGUF\x02"),
    "padded at the end": build(data_bytes=32),
    "no tensors": build(tensors=(), data_bytes=0, align=1),
    "two tensors": build(tensors=(tensor(b"a"), tensor(b"b", (2, 3), offset=32)), data_bytes=32 + 24),
    "an empty tensor": build(tensors=(tensor(b"a", (0, 2**40)),), data_bytes=0),
    "an array of text": build((pair(b"tokens", ARRAY, struct.pack("<IQ", TEXT, 2) + text(b"") + text(b"b")),)),
}

REFUSED = {
    "another magic": (b"GGML" + GOOD[4:], "does not begin with GGUF"),
    "version 1": (GOOD.replace(b"GGUF\x03", b"GGUF\x01"), "is version 1"),
    "version 4": (GOOD.replace(b"GGUF\x03", b"GGUF\x04"), "is version 4"),
    "big-endian": (b"GGUF\0\0\0\x03" + GOOD[8:], "is big-endian"),
    "magic alone": (b"GGUF", "ends inside the header"),
    "cut in the header": (GOOD[:60], "ends inside the header"),
    "cut in the data": (GOOD[:-1], "take 152 bytes and the file has 151"),
    "bytes behind the data": (build(data_bytes=33), "bytes and the file has"),
    "too many tensors": (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "more than 100000"),
    "too many keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**64 - 1), "more than 100000"),
    "key of absurd length": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**64 - 1), "a key has 18446744073709551615"),
    "key without a name": (build((pair(b"", U32, bytes(4)),)), "a key has 0 bytes"),
    "key that is not text": (build((pair(b"\xff", U32, bytes(4)),)), "a key is not UTF-8"),
    "key twice": (build((ALIGNED, ALIGNED), align=8), 'the key "general.alignment" appears twice'),
    "value of absurd length": (build((pair(b"k", TEXT, struct.pack("<Q", 2**64 - 1)),)), "ends inside the header"),
    "array of absurd length": (
        build((pair(b"k", ARRAY, struct.pack("<IQ", U32, 2**62)),)), "ends inside the header"
    ),
    "array of absurd text": (build((pair(b"k", ARRAY, struct.pack("<IQ", TEXT, 2**62)),)), "ends inside the header"),
    "array of arrays": (build((pair(b"k", ARRAY, struct.pack("<IQ", ARRAY, 1)),)), '"k" is an array of arrays'),
    "unknown value type": (build((pair(b"k", 13, b""),)), '"k" has the unknown type 13'),
    "truth value of two": (build((pair(b"k", BOOL, b"\2"),)), "neither 0 nor 1"),
    "alignment of zero": (build((ALIGNED[:-4] + bytes(4),)), "its alignment is not a power of two"),
    "alignment of 24": (build((ALIGNED[:-4] + struct.pack("<I", 24),)), "its alignment is not a power of two"),
    "alignment of 2 GiB": (build((ALIGNED[:-4] + struct.pack("<I", 2**31),)), "its alignment is not a power of two"),
    "alignment as text": (build((pair(b"general.alignment", TEXT, text(b"8")),)), "its alignment is not"),
    "tensor twice": (build(tensors=(tensor(b"a"), tensor(b"a", offset=32)), data_bytes=48), '"a" appears twice'),
    "tensor with a long name": (build(tensors=(tensor(b"a" * 65),)), "a tensor's name has 65 bytes"),
    "tensor without dimensions": (build(tensors=(tensor(b"a", ()),)), "has 0 dimensions"),
    "tensor of five dimensions": (build(tensors=(tensor(b"a", (1,) * 5),)), "has 5 dimensions"),
    "tensor that overlaps": (build(tensors=(tensor(b"a"), tensor(b"b")), data_bytes=48), "begins at 0 instead of 32"),
    "tensor that is not aligned": (build(tensors=(tensor(b"a", offset=16),)), "begins at 16 instead of 0"),
    "tensor beyond the file": (build(tensors=(tensor(b"a", offset=2**60),)), "begins at"),
    "tensor larger than the file": (build(tensors=(tensor(b"a", (2**40,)),)), "bytes and the file has"),
    "shape that wraps": (build(tensors=(tensor(b"a", (2**32, 2**32)),)), "has a shape too large to count"),
    "zero that hides an overflow": (build(tensors=(tensor(b"a", (0, 2**60, 2**60)),)), "too large to count"),
    "unknown tensor type": (build(tensors=(tensor(b"a", kind=4),)), "has the unknown type 4"),
    "row of half a block": (build(tensors=(tensor(b"a", (33,), kind=8),)), "not of whole blocks of 32"),
}  # fmt: skip


def outcome(content: bytes) -> str:
    """What the check says of a file; nothing when it accepts it."""
    try:
        check(io.BytesIO(content), len(content))
    except HeaderFault as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_a_sound_file_is_published(tmp_path: Path, content: bytes) -> None:
    """Made by hand from the format's description, and by its own package."""
    assert formats.scan(put(tmp_path, {"model.gguf": content})).files[0].size_bytes == len(content)


@pytest.mark.parametrize(("content", "because"), REFUSED.values(), ids=REFUSED)
def test_an_unsound_file_is_refused_in_one_line(tmp_path: Path, content: bytes, because: str) -> None:
    """What a reader would allocate, seek to or confuse is named."""
    (line,) = refusals(put(tmp_path, {"model.gguf": content}))
    assert line.startswith("model.gguf: is not a valid GGUF file: ")
    assert because in line


@pytest.mark.parametrize("kind", TYPES)
def test_a_tensor_of_every_known_type_fills_its_bytes(kind: int) -> None:
    """A byte less or more is refused."""
    elements, block_bytes = TYPES[kind]
    one = (tensor(b"w", (2 * elements, 3), kind),)
    assert outcome(build(tensors=one, data_bytes=6 * block_bytes)) == ""
    assert outcome(build(tensors=one, data_bytes=6 * block_bytes - 1)) != ""


@settings(max_examples=1500, deadline=None, database=None)
@given(
    seed=st.sampled_from([OFFICIAL, *ACCEPTED.values()]),
    randomness=st.randoms(use_true_random=False),
    edits=st.integers(1, 6),
)
def test_a_mutated_file_ends_in_acceptance_or_the_typed_refusal(
    seed: bytes, randomness: random.Random, edits: int
) -> None:
    """Never another error; and what is accepted has the header's sizes."""
    content = bytearray(seed)
    for _ in range(edits):
        place = randomness.randrange(4, min(len(content), 900))
        width = randomness.choice((1, 1, 4, 8))
        number = randomness.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, randomness.randrange(2**64)))
        content[place : place + randomness.choice((0, width))] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    assert isinstance(outcome(bytes(content)), str)


@settings(max_examples=500, deadline=None, database=None)
@given(st.binary(max_size=400))
def test_any_bytes_behind_the_magic_end_in_acceptance_or_the_typed_refusal(content: bytes) -> None:
    """Never another error."""
    assert isinstance(outcome(b"GGUF\x03\0\0\0" + content), str)


def test_time_and_memory_are_bounded_whatever_a_header_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that are as large as the file allows are read in a stream, and a large header is refused at its bound."""
    items = 1_000_000
    tokens = pair(b"tokens", ARRAY, struct.pack("<IQ", TEXT, items) + bytes(8 * items))
    content = build((tokens, pair(b"scores", ARRAY, struct.pack("<IQ", 6, items) + bytes(4 * items))))
    tracemalloc.start()
    began = time.process_time()
    assert outcome(content) == ""
    assert time.process_time() - began < 20
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    monkeypatch.setattr(gguf_header, "MAX_HEADER_BYTES", 1_000_000)
    assert outcome(content) == "its header exceeds 1000000 bytes"
