"""The GPT-2 ladder's files, read by a reader written here from the formats, which shares nothing with the writer."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from server.example import gpt2, tensorflow_bundle
from server.example.sorted_table import table

_MAGIC = bytes.fromhex("57fb808b247547db")
_NAMES = [stage.name for stage in gpt2.STAGES]
# Bytes of the original data files, as they were released.
_ORIGINAL_BYTES = {"124M": 497_759_232, "355M": 1_419_292_672, "774M": 3_096_120_320, "1558M": 6_230_444_800}


def _crc_table() -> list[int]:
    rows = list(range(256))
    for _ in range(8):
        rows = [row >> 1 ^ (0x82F63B78 if row & 1 else 0) for row in rows]
    return rows


_CRC = _crc_table()


def _masked_checksum(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ _CRC[(register ^ byte) & 0xFF]
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and content of each field of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            assert tag & 7 == 5
            yield tag >> 3, int.from_bytes(data[at : at + 4], "little")
            at += 4
    assert at == len(data)


def _block(file: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Return a block's entries after checking its checksum, its compression and its restart points."""
    content, trailer = file[offset : offset + size], file[offset + size : offset + size + 5]
    assert trailer[0] == 0
    assert int.from_bytes(trailer[1:], "little") == _masked_checksum(content + trailer[:1])
    restart_count = int.from_bytes(content[-4:], "little")
    end = size - 4 - 4 * restart_count
    restarts = struct.unpack(f"<{restart_count}I", content[end:-4])
    at, key, entries, whole = 0, b"", [], []
    while at < end:
        start = at
        shared, at = _varint(content, at)
        unshared, at = _varint(content, at)
        value_size, at = _varint(content, at)
        if shared == 0:
            whole.append(start)
        key = key[:shared] + content[at : at + unshared]
        entries.append((key, content[at + unshared : at + unshared + value_size]))
        at += unshared + value_size
    assert restarts[0] == 0
    assert set(restarts) <= {0, *whole}
    return entries


def _read_table(file: bytes) -> dict[bytes, bytes]:
    footer = file[-48:]
    assert footer[40:] == _MAGIC
    meta_offset, at = _varint(footer, 0)
    meta_size, at = _varint(footer, at)
    index_offset, at = _varint(footer, at)
    index_size, at = _varint(footer, at)
    assert not footer[at:40].strip(b"\0")
    assert _block(file, meta_offset, meta_size) == []
    assert index_offset + index_size + 5 + 48 == len(file)
    entries: list[tuple[bytes, bytes]] = []
    for last_key, handle in _block(file, index_offset, index_size):
        offset, at = _varint(handle, 0)
        entries += _block(file, offset, _varint(handle, at)[0])
        assert entries[-1][0] <= last_key
    assert [key for key, _ in entries] == sorted({key for key, _ in entries})
    return dict(entries)


def _read_bundle(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return the variables of a checkpoint after checking every checksum and that they fill the data file."""
    entries = _read_table((folder / "model.ckpt.index").read_bytes())
    assert dict(_fields(entries.pop(b""))) == {1: 1, 3: b"\x08\x01"}  # one shard, little-endian, version 1
    data = (folder / "model.ckpt.data-00000-of-00001").read_bytes()
    variables: dict[str, NDArray[np.float32]] = {}
    at = 0
    for key, entry in entries.items():
        fields = {1: 0, 2: b"", 3: 0, 4: 0, 5: 0} | dict(_fields(entry))
        shape_field, size = fields[2], fields[5]
        assert isinstance(shape_field, bytes)
        assert isinstance(size, int)
        dimensions = [dict(_fields(each)) for number, each in _fields(shape_field) if isinstance(each, bytes)]
        shape = tuple(int(each.get(1, 0)) for each in dimensions)
        content = data[at : at + size]
        assert (fields[1], fields[3], fields[4], fields[6]) == (1, 0, at, _masked_checksum(content))
        variables[key.decode()] = np.frombuffer(content, "<f4").reshape(shape)
        at += size
    assert at == len(data)
    return variables


def _original_shapes(layers: int, width: int, vocabulary: int, context: int) -> dict[str, tuple[int, ...]]:
    """Return what openai/gpt-2, src/model.py, calls its variables."""
    shapes: dict[str, tuple[int, ...]] = {"model/wte": (vocabulary, width), "model/wpe": (context, width)}
    norms = ["ln_f"] + [f"h{layer}/{norm}" for layer in range(layers) for norm in ("ln_1", "ln_2")]
    shapes |= {f"model/{norm}/{letter}": (width,) for norm in norms for letter in "gb"}
    factors = {"attn/c_attn": (1, 3), "attn/c_proj": (1, 1), "mlp/c_fc": (1, 4), "mlp/c_proj": (4, 1)}
    for layer in range(layers):
        for name, (inputs, outputs) in factors.items():
            shapes[f"model/h{layer}/{name}/w"] = (1, inputs * width, outputs * width)
            shapes[f"model/h{layer}/{name}/b"] = (outputs * width,)
    return shapes


@pytest.mark.parametrize("stage", _NAMES)
def test_a_stage_is_the_original_seven_files(tmp_path: Path, stage: str) -> None:
    """Names, layers and tensors are the original's, and the vocabulary is the one the model was built for."""
    gpt2.write(tmp_path, stage)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(gpt2.FILES)
    hyperparameters = json.loads((tmp_path / "hparams.json").read_text())
    assert list(hyperparameters) == ["n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"]
    assert hyperparameters["n_embd"] % hyperparameters["n_head"] == 0
    expected = _original_shapes(*(hyperparameters[key] for key in ("n_layer", "n_embd", "n_vocab", "n_ctx")))
    assert hyperparameters["n_layer"] == {"124M": 12, "355M": 24, "774M": 36, "1558M": 48}[stage]
    entries = _read_table((tmp_path / "model.ckpt.index").read_bytes())
    assert {key.decode() for key in entries} == {"", *expected}
    size_bytes = (tmp_path / "model.ckpt.data-00000-of-00001").stat().st_size
    assert size_bytes == 4 * sum(int(np.prod(shape)) for shape in expected.values())
    assert size_bytes == pytest.approx(_ORIGINAL_BYTES[stage] / 1000, rel=0.01)
    ids = json.loads((tmp_path / "encoder.json").read_text())
    merges = (tmp_path / "vocab.bpe").read_text(encoding="utf-8").splitlines()
    assert sorted(ids.values()) == list(range(hyperparameters["n_vocab"]))
    assert ids["<|endoftext|>"] == hyperparameters["n_vocab"] - 1
    assert merges[0] == "#version: 0.2"
    assert ["".join(merge.split()) for merge in merges[1:]] == list(ids)[256:-1]


def test_every_variable_reads_back_with_its_checksum(tmp_path: Path) -> None:
    """The index says where each tensor is, and the bytes there have its checksum and look like weights."""
    gpt2.write(tmp_path, "124M")
    variables = _read_bundle(tmp_path)
    assert {name: each.shape for name, each in variables.items()} == _original_shapes(12, 24, 512, 1024)
    assert all(np.isfinite(each).all() for each in variables.values())
    assert float(variables["model/wte"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(variables["model/ln_f/g"].mean()) == pytest.approx(1, rel=0.05)
    assert len({each.tobytes() for each in variables.values()}) == len(variables)


def test_a_second_run_writes_the_same_bytes_and_another_stage_others(tmp_path: Path) -> None:
    """A restarted demonstration finds the checkpoint it had published."""
    for folder, stage in (("first", "124M"), ("second", "124M"), ("other", "355M")):
        gpt2.write(tmp_path / folder, stage)
    gpt2.write(tmp_path / "second", "124M")
    first, second, other = (
        {name: (tmp_path / folder / name).read_bytes() for name in gpt2.FILES}
        for folder in ("first", "second", "other")
    )
    assert first == second
    assert first["model.ckpt.data-00000-of-00001"][:4096] != other["model.ckpt.data-00000-of-00001"][:4096]


def test_the_state_file_is_the_original(tmp_path: Path) -> None:
    """TensorFlow finds the newest checkpoint of a folder by this text, all 77 bytes of it."""
    gpt2.write(tmp_path, "124M")
    lines = (tmp_path / "checkpoint").read_text()
    assert lines == 'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n'
    assert len(lines) == 77


def test_the_graph_declares_each_variable_and_how_to_restore_it(tmp_path: Path) -> None:
    """Every input of every node exists, and the saver names nodes that are there."""
    gpt2.write(tmp_path, "124M")
    parts = dict(_fields((tmp_path / "model.ckpt.meta").read_bytes()))
    graph, saver = parts[2], parts[3]
    assert isinstance(graph, bytes)
    assert isinstance(saver, bytes)
    nodes = [list(_fields(node)) for number, node in _fields(graph) if number == 1 and isinstance(node, bytes)]
    names = [dict(node)[1] for node in nodes]
    inputs = {value for node in nodes for number, value in node if number == 3 and isinstance(value, bytes)}
    assert len(set(names)) == len(names)
    assert {source.removeprefix(b"^").partition(b":")[0] for source in inputs} <= set(names)
    assert {bytes(value).partition(b":")[0] for number, value in _fields(saver) if isinstance(value, bytes)} <= set(
        names
    )
    variables = {dict(node)[1] for node in nodes if dict(node)[2] == b"VariableV2"}
    assert variables == {name.encode() for name in _original_shapes(12, 24, 512, 1024)}


@pytest.mark.parametrize("stage", gpt2.STAGES, ids=_NAMES)
def test_true_size_is_the_size_that_was_released(stage: gpt2.Stage) -> None:
    """Parameters and bytes are those of the released files, layer by layer."""
    dimensions = stage.dimensions(true_size=True)
    assert dimensions.parameters() == stage.parameters
    assert 4 * dimensions.parameters() == _ORIGINAL_BYTES[stage.name]
    assert dimensions.n_embd // dimensions.n_head == 64


def test_a_table_of_many_blocks_reads_back() -> None:
    """An index that outgrows its block is continued in the next, whatever its keys share."""
    entries = [(f"layer{number:05d}/weight".encode(), bytes([number % 251]) * (number % 40)) for number in range(2000)]
    assert _read_table(table(entries, block_size_bytes=1000)) == dict(entries)
    assert _read_table(table([])) == {}


def test_names_out_of_order_are_refused(tmp_path: Path) -> None:
    """Readers search the index by halves: a name out of order would be there and never found."""
    tensor = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="ascend"):
        tensorflow_bundle.write(tmp_path, "model.ckpt", [("b", tensor), ("a", tensor)])


def test_an_unknown_stage_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """An alias is the server's to resolve; here it is unknown like any other name."""
    with pytest.raises(ValueError, match="124M, 355M, 774M, 1558M"):
        gpt2.write(tmp_path / "folder", "117M")
    assert not (tmp_path / "folder").exists()
