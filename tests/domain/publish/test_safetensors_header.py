"""A safetensors file is accepted when it is sound, and then the official library accepts it too."""

import json
import random
import tempfile
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize, safe_open
from safetensors.numpy import save

from server.domain.publish.faults import Faults, NotPublishable
from server.domain.publish.safetensors_header import read_tensors
from server.domain.publish.source_files import walk

DTYPE_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
GOOD = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


def build(header: object, data_bytes: int = 16) -> bytes:
    """Put a header, as a value or as raw bytes, before so many zero bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(data_bytes)


def read(content: bytes) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "w.safetensors").write_bytes(content)
        return read_tensors(walk(Path(folder), Faults()).files[0])


def official(content: bytes) -> dict[str, int]:
    """Read with the official library."""
    entries = deserialize(content)  # type: ignore[no-untyped-call]
    return {name: len(entry["data"]) for name, entry in entries}


def tensor(**changes: object) -> bytes:
    return build({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | changes})


def two(first: list[int], second: list[int], data_bytes: int = 16) -> bytes:
    shapes = [[offsets[1] - offsets[0]] for offsets in (first, second)]
    entries = ({"dtype": "U8", "shape": s, "data_offsets": o} for s, o in zip(shapes, (first, second), strict=True))
    return build(dict(zip("ab", entries, strict=True)), data_bytes)


ENTRY = b'{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'

BAD = {
    "shorter than its length field": (b"\x10\0\0", "ends inside"),
    "length field only": ((2).to_bytes(8, "little"), "more than the file has"),
    "header longer than the file": ((1000).to_bytes(8, "little") + b"{}", "more than the file has"),
    "header longer than 100 MB": ((100_000_001).to_bytes(8, "little") + b"{}", "more than 100000000"),
    "header length that wraps": (b"\xff" * 8 + b"{}", "more than 100000000"),
    "header of no bytes": (build(b""), "start with {"),
    "space before the brace": (build(b" {}", 0), "start with {"),
    "byte order mark": (build(b"\xef\xbb\xbf{}", 0), "start with {"),
    "array": (build(b"[]", 0), "start with {"),
    "cut JSON": (build(b'{"a":' + ENTRY), "not UTF-8 JSON"),
    "two values": (build(b"{}{}", 0), "not UTF-8 JSON"),
    "zero bytes as padding": (build(b"{}\0\0", 0), "not UTF-8 JSON"),
    "single quotes": (build(b"{'a':1}", 0), "not UTF-8 JSON"),
    "nested too deep": (build(b'{"a":' * 100_000, 0), "not UTF-8 JSON"),
    "not UTF-8": (build(b'{"\xff":' + ENTRY + b"}"), "not UTF-8 JSON"),
    "half a surrogate pair as a name": (build(b'{"\\ud800":' + ENTRY + b"}"), "surrogate"),
    "half a surrogate pair in metadata": (build(b'{"__metadata__":{"a":"\\udc00"}}', 0), "surrogate"),
    "tensor named twice": (build(b'{"a":' + ENTRY + b',"a":' + ENTRY + b"}"), "appears twice"),
    "name twice, once escaped": (build(b'{"a":' + ENTRY + b',"\\u0061":' + ENTRY + b"}"), "appears twice"),
    "key twice inside": (build(b'{"a":' + ENTRY[:-1] + b',"dtype":"I32"}}'), "appears twice"),
    "key twice in metadata": (build(b'{"__metadata__":{"k":"1","k":"2"}}', 0), "appears twice"),
    "metadata with a number": (build({"__metadata__": {"k": 1}}, 0), "text to text"),
    "metadata with an object": (build({"__metadata__": {"k": {}}}, 0), "text to text"),
    "metadata null": (build({"__metadata__": None}, 0), "text to text"),
    "metadata as a tensor": (build({"__metadata__": json.loads(ENTRY)}), "text to text"),
    "entry is a list": (build({"a": []}), "exactly dtype"),
    "entry lacks the dtype": (build({"a": {"shape": [4], "data_offsets": [0, 16]}}), "exactly dtype"),
    "entry with an unknown key": (tensor(stride=1), "exactly dtype"),
    "unknown dtype": (tensor(dtype="F128"), 'has the dtype "F128", which safetensors 0.8.0 does not know'),
    "dtype in small letters": (tensor(dtype="f32"), "does not know"),
    "dtype is a list": (tensor(dtype=["F32"]), "does not know"),
    "shape is a number": (tensor(shape=4), "shape"),
    "shape with a fraction": (tensor(shape=[4.0]), "not an integer"),
    "shape with an exponent": (build(b'{"a":' + ENTRY.replace(b"[4]", b"[4e0]") + b"}"), "not an integer"),
    "shape with true": (tensor(shape=[True, 4]), "shape"),
    "shape with text": (tensor(shape=["4"]), "shape"),
    "shape with null": (tensor(shape=[None]), "shape"),
    "negative shape": (tensor(shape=[-2, -2]), "negative"),
    "negative zero": (build(b'{"a":' + ENTRY.replace(b"[4]", b"[4,1,-0]") + b"}"), "negative"),
    "shape with NaN": (tensor(shape=[float("nan")]), "not an integer"),
    "shape with Infinity": (tensor(shape=[float("inf")]), "not an integer"),
    "shape beyond 64 bits": (tensor(shape=[2**64 + 4]), "too large"),
    "shape whose product wraps to the right size": (tensor(shape=[2**62 + 1, 4]), "too large"),
    "shape whose zero hides an overflow": (tensor(shape=[2**40, 2**40, 0], data_offsets=[0, 0]), "too large"),
    "shape whose zero comes first": (tensor(shape=[0, 2**40, 2**40], data_offsets=[0, 0]), "too large"),
    "shape of a million factors": (tensor(shape=[10**18] * 1_000_000), "too large"),
    "number of many digits": (build(b'{"a":' + ENTRY.replace(b"[4]", b"[" + b"9" * 9000 + b"]") + b"}"), "too large"),
    "one offset": (tensor(data_offsets=[16]), "begin and an end"),
    "three offsets": (tensor(data_offsets=[0, 8, 16]), "begin and an end"),
    "offsets with true": (tensor(data_offsets=[False, 16]), "begin and an end"),
    "offsets reversed": (tensor(data_offsets=[16, 0]), "begin and an end"),
    "negative offset": (tensor(data_offsets=[-16, 0]), "negative"),
    "size not as the shape says": (tensor(shape=[3]), "shape and dtype"),
    "half a byte left over": (
        build({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}, 2),
        "shape and dtype",
    ),
    "six bits taken for a byte": (
        build({"a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 4]}}, 4),
        "shape and dtype",
    ),
    "gap at the beginning": (two([1, 8], [8, 16]), "begins at 1 instead of 0"),
    "gap in the middle": (two([0, 7], [8, 16]), "begins at 8 instead of 7"),
    "overlap": (two([0, 9], [8, 16]), "begins at 8 instead of 9"),
    "two tensors in one place": (two([0, 16], [0, 16]), "begins at 0 instead of 16"),
    "bytes after the last tensor": (two([0, 8], [8, 16], 17), "take 16 bytes and the file has 17"),
    "bytes without a tensor": (build({}, 1), "take 0 bytes and the file has 1"),
    "data cut short": (two([0, 8], [8, 16], 15), "take 16 bytes and the file has 15"),
}


@pytest.mark.parametrize(("content", "because"), BAD.values(), ids=BAD)
def test_a_bad_header_is_refused_in_one_line_that_names_the_file(content: bytes, because: str) -> None:
    with pytest.raises(NotPublishable) as refusal:
        read(content)
    text = str(refusal.value)
    assert text.startswith("w.safetensors: ")
    assert because in text
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"scalar": numpy.array(1.0)},
        {
            "none": numpy.zeros((0, 7), "int8"),
            "some": numpy.ones((3, 5), "float32"),
            "also none": numpy.zeros(0, "int64"),
        },
        {
            f"h.{i}.{kind}": numpy.full((i + 1, 2), i, kind)
            for i, kind in enumerate(("f8", "f4", "f2", "i8", "u1", "?"))
        },
        {"größe \u2028 \x01": numpy.ones(3, "uint16"), "": numpy.ones(1, "uint32")},
    ],
    ids=["no tensors", "scalar", "zero sizes", "dtypes", "odd names"],
)
@pytest.mark.parametrize("metadata", [None, {"format": "pt", "é": "ü"}])
def test_what_the_official_library_writes_is_accepted(
    tensors: dict[str, numpy.ndarray], metadata: dict[str, str] | None
) -> None:
    assert read(save(tensors, metadata)) == {name: array.nbytes for name, array in tensors.items()}


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_dtype_of_the_official_library_is_known(dtype: str) -> None:
    size_bytes = 8 * DTYPE_BITS[dtype] // 8
    content = build({"a": {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, size_bytes]}}, size_bytes)
    assert read(content) == {"a": size_bytes}
    assert official(content) == {"a": size_bytes}


def test_no_dtype_of_the_official_library_is_missing() -> None:
    """The library lists what it knows when it meets what it does not know."""
    with pytest.raises(Exception, match="expected one of") as refusal:
        official(tensor(dtype="?"))
    for dtype in DTYPE_BITS:
        refusal.match(f"`{dtype}`")
    assert str(refusal.value).count("`") == 2 * (len(DTYPE_BITS) + 1)


def test_we_refuse_a_duplicate_that_the_official_library_accepts() -> None:
    duplicate = BAD["tensor named twice"][0]
    assert official(duplicate) == {"a": 16}
    with pytest.raises(NotPublishable):
        read(duplicate)


def test_padding_after_the_header_is_accepted() -> None:
    assert read(build(json.dumps(GOOD).encode() + b"   ")) == {"a": 16}


def require_official_agreement(content: bytes) -> None:
    """Whatever we accept, the official library accepts, with the same tensors."""
    try:
        ours = read(content)
    except NotPublishable:
        return
    assert official(content) == ours
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "w.safetensors").write_bytes(content)
        with safe_open(Path(folder, "w.safetensors"), framework="numpy") as opened:
            assert set(opened.keys()) == set(ours)


SEEDS = [
    save({"a": numpy.ones((2, 3), "float32"), "b": numpy.zeros((0, 2), "int8")}, {"format": "pt"}),
    build({"x": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}, 2),
    build(GOOD),
    save({}),
]
TOKENS = rb"""0 - . 1 e1 true null NaN " \ \u0061 \ud800 { } [ ] , : F32 F4 "a" __metadata__""".split()
TOKENS += [b" ", b"\n", b"\t", b"\0", b"\xff", b"\xc3\xa4"]


@settings(max_examples=600, deadline=None, database=None)
@given(seed=st.sampled_from(SEEDS), randomness=st.randoms(use_true_random=False), edits=st.integers(1, 4))
def test_a_mutated_file_that_we_accept_is_accepted_officially(
    seed: bytes, randomness: random.Random, edits: int
) -> None:
    """Bytes change anywhere; half the time the length field is put right again, so that the JSON is reached."""
    content = bytearray(seed)
    header_end = 8 + int.from_bytes(seed[:8], "little")
    for _ in range(edits):
        place = randomness.randrange(8 if randomness.random() < 0.8 else 0, header_end + 1)
        removed = randomness.choice((0, 0, 1, 1, 2, 5))
        inserted = randomness.choice((b"", randomness.choice(TOKENS), randomness.randbytes(1)))
        content[place : place + removed] = inserted
    if randomness.random() < 0.7:
        content[:8] = max(0, len(content) - 8 - (len(seed) - header_end)).to_bytes(8, "little")
    if content:
        require_official_agreement(bytes(content))


NUMBERS = st.one_of(st.integers(0, 20), st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, -1]))


@settings(max_examples=400, deadline=None, database=None)
@given(
    tensors=st.dictionaries(
        st.text(max_size=3),
        st.tuples(st.sampled_from([*DTYPE_BITS, "F128"]), st.lists(NUMBERS, max_size=4), st.integers(-1, 1)),
        max_size=4,
    ),
    extra_bytes=st.integers(0, 1),
)
def test_a_made_up_header_that_we_accept_is_accepted_officially(
    tensors: dict[str, tuple[str, list[int], int]], extra_bytes: int
) -> None:
    """Shapes and offsets that nearly fit, with numbers at the edges of 64 bits."""
    header: dict[str, object] = {}
    position = 0
    for name, (dtype, shape, slip) in tensors.items():
        bits = DTYPE_BITS.get(dtype, 8)
        for length in shape:
            bits *= length
        end = position + (bits // 8 if 0 <= bits < 10_000 else 8) + (slip if extra_bytes else 0)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    require_official_agreement(build(header, max(0, position) + extra_bytes))
