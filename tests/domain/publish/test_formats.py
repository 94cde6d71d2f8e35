"""A folder is published as it stands or refused in one line: what may run code, mislead or get lost stays out."""

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save

from server.domain.publish import formats, source_files
from server.domain.publish.faults import Faults
from tests.domain.publish.folders import put, refusals

TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
GPT2 = {
    "checkpoint": b'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n',
    "encoder.json": b'{"!": 0, "\\u0120the": 1}',
    "hparams.json": b'{"n_vocab": 50257, "n_ctx": 1024}',
    "model.ckpt.data-00000-of-00001": numpy.linspace(0, 1, 64, dtype="<f4").tobytes(),
    "model.ckpt.index": bytes(100) + TABLE_MAGIC,
    "model.ckpt.meta": b"\x0a\x03abc\x12\x00",
    "vocab.bpe": "#version: 0.2\n\u0120 t\n".encode(),
}
SHARD_1 = save({"a": numpy.ones(4, "float32"), "b": numpy.ones(2, "int8")})
SHARD_2 = save({"c": numpy.ones((3, 2), "float16")})
SHARD_NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
WEIGHT_MAP = {"a": SHARD_NAMES[0], "b": SHARD_NAMES[0], "c": SHARD_NAMES[1]}
TOTAL_BYTES = 16 + 2 + 12


class Runs:
    """Unpickling it calls a function: what a pickle in a checkpoint can do."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("hello",)


def index(weight_map: object = WEIGHT_MAP, **metadata: object) -> bytes:
    return json.dumps({"metadata": metadata, "weight_map": weight_map}).encode()


def sharded(index_content: bytes) -> dict[str, bytes]:
    return {
        SHARD_NAMES[0]: SHARD_1,
        SHARD_NAMES[1]: SHARD_2,
        "model.safetensors.index.json": index_content,
        "config.json": b'{"time_step_limit": [0.0, Infinity]}',
    }


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Runs()))
    return content.getvalue()


def refusal(folder: Path) -> str:
    """Scan, and return what it is refused with, all lines."""
    return "\n".join(refusals(folder))


@pytest.mark.parametrize(
    "files",
    [
        GPT2,
        {f"original/{name}": content for name, content in GPT2.items()} | {"README.md": b"# Two of a kind\n"},
        {name: content for name, content in GPT2.items() if not name.endswith(".meta")},
        sharded(index(total_size=TOTAL_BYTES)),
        sharded(index()),
        {"model.safetensors": SHARD_1, "LICENSE": b"MIT\n", "merges.txt": b"a b\n", "chat_template.jinja": b"{{ x }}"},
        {"tokenizer.model": b"\x0a\x08\x0a\x01a\x15\0\0\0\0\x12\x02\x08\x01", "tokenizer.json": b"{}"},
        {"tokenizer.model": b"IQ== 0\nIg== 1\n", "vocab.tiktoken": b"IQ== 0\n"},
    ],
    ids=["GPT-2", "GPT-2 below", "GPT-2 without graph", "sharded", "no total", "single", "sentencepiece", "tiktoken"],
)
def test_a_good_folder_is_listed_whole_and_sorted(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Every file is there with its size; nothing is skipped in silence."""
    found = formats.scan(put(tmp_path, files)).files
    assert [(file.path, file.size_bytes) for file in found] == sorted((name, len(files[name])) for name in files)
    assert all((tmp_path / file.path).read_bytes() == files[file.path] for file in found)


def test_two_parts_of_original_data_are_both_needed(tmp_path: Path) -> None:
    numbers = GPT2["model.ckpt.data-00000-of-00001"]
    files = {name: content for name, content in GPT2.items() if ".data-" not in name}
    put(tmp_path, files | {"model.ckpt.data-00000-of-00002": numbers})
    assert "lacks model.ckpt.data-00001-of-00002" in refusal(tmp_path)
    put(tmp_path, {"model.ckpt.data-00001-of-00002": numbers})
    assert len(formats.scan(tmp_path).files) == 8


@pytest.mark.parametrize("missing", [name for name in GPT2 if not name.endswith(".meta")])
def test_an_original_set_is_complete_or_refused(tmp_path: Path, missing: str) -> None:
    put(tmp_path, {name: content for name, content in GPT2.items() if name != missing})
    assert f"lacks {missing}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"model.ckpt.index": bytes(108)}, "model.ckpt.index: is not a TensorFlow checkpoint index"),
        ({"model.ckpt.index": TABLE_MAGIC}, "model.ckpt.index: is not a TensorFlow checkpoint index"),
        ({"model.ckpt.index": bytes(100) + TABLE_MAGIC + b"\0"}, "is not a TensorFlow checkpoint index"),
        ({"model.ckpt.meta": b"not a graph"}, "model.ckpt.meta: does not contain the protobuf message"),
        (
            {"model.ckpt.meta": GPT2["model.ckpt.meta"] + b"\x0a\x7f"},
            "model.ckpt.meta: does not contain the protobuf message",
        ),
        ({"model.ckpt.meta": pickle.dumps(Runs())}, "model.ckpt.meta: is a pickle"),
        ({"model.ckpt.data-00000-of-00001": pickle.dumps(Runs())}, "is a pickle"),
        ({"model.ckpt.data-00000-of-00001": pickle.dumps({"w": numpy.zeros(500_000)}, 4)}, "is a pickle"),
        ({"model.ckpt.data-00000-of-00001": zipped()}, "is a zip archive"),
        ({"model.ckpt.data-00001-of-00001": b"1234"}, "contradict"),
        ({"model.ckpt.data-00000-of-00002": b"1234"}, "contradict"),
        ({"checkpoint": b'model_checkpoint_path: "/tmp/model.ckpt"\n'}, "checkpoint: does not name the checkpoint"),
        ({"checkpoint": b'model_checkpoint_path: "model.ckpt"\nimport os\n'}, "checkpoint: has a line"),
        ({"checkpoint": b"\n"}, "checkpoint: does not name the checkpoint"),
        ({"model.ckpt-7.index": GPT2["model.ckpt.index"]}, "lacks model.ckpt-7.data-00000-of-00001"),
    ],
)
def test_a_flaw_in_an_original_set_is_refused(tmp_path: Path, changes: dict[str, bytes], because: str) -> None:
    assert because in refusal(put(tmp_path, GPT2 | changes))


def test_a_graph_alone_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"model.ckpt.meta": GPT2["model.ckpt.meta"], "model.safetensors": SHARD_1})
    assert refusal(tmp_path).startswith("model.ckpt.meta: is part of a TensorFlow checkpoint that lacks checkpoint")


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "weights.pkl", "a.pickle", "a.joblib", "a.npy",
     "a.npz", "tf_model.h5", "a.hdf5", "flax_model.msgpack", "model.keras", "model.onnx",
     "modeling.py", "run.sh", "saved_model.pb", "a.yaml", "a.zip", "a.tar.gz", "weights", "a.safetensors.bak",
     "model.ckpt.data-0-of-1", "model.ckpt.index.old", "Makefile", "a.json5", "MODEL.PT"],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused(tmp_path: Path, name: str) -> None:
    """The text of the file does not matter: a name that a loader would execute is enough."""
    put(tmp_path, {"config.json": b"{}", name: b"{}"})
    assert refusal(tmp_path).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name", ["config.json", "README.md", "vocab.bpe", "LICENSE", "tokenizer.model", "a.safetensors"]
)
@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps(Runs(), protocol) for protocol in range(6)),
        *(pickle.dumps({"weights": [1.5] * 9}, protocol) for protocol in range(2, 6)),
        zipped(),
        gzip.compress(b"text", mtime=0),
        b"\x7fELF\x02\x01\x01" + bytes(60),
        b"\x89HDF\r\n\x1a\n" + bytes(8),
        b"\x93NUMPY\x01\0",
        b"GGUF\x03\0\0\0",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b"\n<!DOCTYPE html><title>Sign in</title>",
    ],
    ids=lambda content: repr(content[:6]),
)
def test_a_harmless_name_does_not_cover_what_is_inside(tmp_path: Path, name: str, content: bytes) -> None:
    assert refusal(put(tmp_path, {name: content})).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"{} {}", "is not JSON"),
        ("config.json", b"[" * 200_000, "is not JSON"),
        ("config.json", b"9" * 5000, "is not JSON"),
        ("config.json", '{"ä": 1}'.encode("utf-16"), "is not UTF-8 text"),
        ("config.json", b"\xef\xbb\xbf{}", "byte order mark"),
        ("vocab.txt", b"caf\xe9\n", "is not UTF-8 text (byte 3)"),
        ("vocab.txt", b"a\0b", "NUL"),
        ("vocab.txt", b"", "is empty"),
        ("tokenizer.model", b"\x0a\x7fcut", "neither a SentencePiece nor a tiktoken"),
        ("tokenizer.model", b"\x0a\x01a\x08\x01\xff", "is not UTF-8 text"),
        ("vocab.tiktoken", b"IQ== 0\nimport os\n", "neither a SentencePiece nor a tiktoken"),
    ],
)
def test_json_and_text_are_what_they_say(tmp_path: Path, name: str, content: bytes, because: str) -> None:
    assert because in refusal(put(tmp_path, {name: content}))


def test_a_check_never_reads_without_bound(tmp_path: Path) -> None:
    put(tmp_path, {"config.json": b"{}"})
    os.truncate(tmp_path / "config.json", 100_000_001)
    assert "more than the 100000000 bytes" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (b"[]", "has no weight_map"),
        (b'{"metadata": {}}', "has no weight_map"),
        (index({"a": 1}), "has no weight_map"),
        (index(WEIGHT_MAP | {"d": SHARD_NAMES[0]}), 'says that "d" is in model-00001-of-00002.safetensors'),
        (index(WEIGHT_MAP | {"c": SHARD_NAMES[0]}), 'says that "c" is in'),
        (index(WEIGHT_MAP | {"c": "model-00003-of-00003.safetensors"}), "which is not in the same folder"),
        (index(WEIGHT_MAP | {"c": "../model.safetensors"}), "which is not in the same folder"),
        (index(WEIGHT_MAP | {"c": "config.json"}), "which is not in the same folder"),
        (index({"a": SHARD_NAMES[0], "c": SHARD_NAMES[1]}), 'does not name "b"'),
        (index({"a": SHARD_NAMES[0], "b": SHARD_NAMES[0]}), 'does not name "c"'),
        (index({}), 'does not name "a"'),
        (index(total_size=True), "has a total_size that is not a number"),
        (index(total_size=None), "has a total_size that is not a number"),
        (index(total_size="768"), 'has the total_size "768", which is text, not a number'),
        (index().replace(b'"a": ', b'"a": "", "a": '), "a key appears twice"),
        (index(total_size=float("nan")), "NaN is not a number"),
        (b'{"metadata": [], ' + index()[len('{"metadata": {}, ') :], "metadata that is not"),
    ],
)
def test_an_index_names_exactly_the_tensors_that_are_there(tmp_path: Path, content: bytes, because: str) -> None:
    text = refusal(put(tmp_path, sharded(content)))
    assert text.startswith("model.safetensors.index.json: ")
    assert because in text


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    """Which of the two a reader takes would be its own choice."""
    twice = save({"c": numpy.ones((3, 2), "float16"), "a": numpy.zeros(4, "float32")})
    text = refusal(put(tmp_path, sharded(index()) | {SHARD_NAMES[1]: twice}))
    assert f'finds "a" in {SHARD_NAMES[0]}, but {SHARD_NAMES[1]} contains it as well' in text


def test_an_index_with_a_variant_in_its_name_is_checked_too(tmp_path: Path) -> None:
    put(tmp_path, {"other.safetensors": SHARD_1, "model.safetensors.index.fp16.json": index({})})
    assert formats.scan(tmp_path)
    put(tmp_path, {"model.fp16-00001-of-00001.safetensors": SHARD_2})
    assert "model.safetensors.index.fp16.json: does not name" in refusal(tmp_path)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_shard_is_noticed_without_an_index(tmp_path: Path, lost: int) -> None:
    put(tmp_path, {SHARD_NAMES[1 - lost]: SHARD_1})
    assert f"lacks {SHARD_NAMES[lost]}" in refusal(tmp_path)


def test_a_shard_beyond_its_own_count_is_refused(tmp_path: Path) -> None:
    assert "is not one of parts" in refusal(put(tmp_path, {"model-00003-of-00002.safetensors": SHARD_1}))


PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n\0", b"\xff\xd8\xff\xe0", b"RIFF\x10\0\0\0WEBPVP8 "
PIECES = b"\x0a\x08\x0a\x01a\x15\0\0\0\0\x12\x02\x08\x01"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.model.v3", PIECES), ("source.spm", PIECES), ("tokenizer.vocab", "\u2581a\t-1.5\n".encode()),
        ("LICENSE-MODEL", b"MIT\n"), ("LICENSE-CODE", b"MIT\n"), ("COPYING", b"GPL\n"), ("Notice", b"n\n"),
        ("License", b"MIT\n"), ("CITATION.cff", b"cff-version: 1.2.0\n"), ("train/args.yaml", b"lr: 1\n"),
        ("config.yml", b"a: 1\n"), ("assets/loss.png", PNG), ("a.jpg", JPEG), ("a.JPEG", JPEG), ("a.webp", WEBP),
        ("multilingual.tiktoken", b"IQ== 0\nIg== 1\n= 50256"),
    ],
)  # fmt: skip
def test_what_model_folders_hold_beside_the_weights_is_accepted(tmp_path: Path, name: str, content: bytes) -> None:
    """Licenses in any case, citations, settings in YAML, pictures of the model card, and every tokenizer's form."""
    put(tmp_path, {"model.safetensors": SHARD_1, "train/model.safetensors": SHARD_1, name: content})
    assert name in [file.path for file in formats.scan(tmp_path).files]


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("a.png", JPEG, "does not start like a png image"),
        ("a.webp", b"RIFF\x10\0\0\0WAVEfmt ", "does not start like a webp image"),
        ("a.jpg", b"\x80\x04N.", "does not start like a jpg image"),
        ("a.svg", b"<svg/>", "is not in a format that can be published"),
        ("a.pdf", b"%PDF-1.7", "is not in a format that can be published"),
        ("a.yaml", b"a: !!python/object/apply:os.system [id]\n", "contains YAML tags of Python objects"),
        ("a.yaml", b"%TAG ! tag:yaml.org,2002:python/\n---\na: 1\n", "contains YAML tags of Python objects"),
        ("below/a.yaml", b"a: 1\n", "is not in a format that can be published"),
        ("LICENSE.py", b"import os\n", "is not in a format that can be published"),
        ("tokenizer.vocab", b"\x80\x04N.", "is a pickle"),
        ("flax_model.msgpack", b"\x81", "is in Flax's format, which cannot be checked here"),
    ],
)
def test_what_only_looks_like_it_is_refused(tmp_path: Path, name: str, content: bytes, because: str) -> None:
    put(tmp_path, {"model.safetensors": SHARD_1, name: content})
    assert refusal(tmp_path).startswith(f"{name}: {because}")


def test_a_torch_distributed_checkpoint_is_told_how_to_convert(tmp_path: Path) -> None:
    """Renaming its hidden `.metadata`, a pickle, would be wrong advice."""
    put(tmp_path, {".metadata": pickle.dumps(Runs()), "__0_0.distcp": b"PK\x03\x04"})
    lines = refusals(tmp_path)
    assert [line.partition(":")[0] for line in lines] == [".metadata", "__0_0.distcp"]
    for line in lines:
        assert "belongs to a torch distributed checkpoint, which contains a pickle; convert the folder" in line
        assert "rename" not in line


def test_all_that_is_wrong_is_said_in_one_answer(tmp_path: Path) -> None:
    """A publisher with a clone from a hub mends everything at once, not one fault a run."""
    put(tmp_path, sharded(index({"a": SHARD_NAMES[0]})) | {
        ".gitattributes": b"*.bin filter=lfs\n", ".env": b"KEY=1", "plot.svg": b"<svg/>", "pytorch_model.bin": b"PK",
        "part-00001-of-00003.safetensors": SHARD_1, "con.json": b"{}", "config.json": b"{",
    })  # fmt: skip
    found = refusals(tmp_path)
    assert [line.partition(":")[0] for line in found] == sorted([
        ".env", "con.json", "config.json", "model.safetensors.index.json", "part-00001-of-00003.safetensors",
        "plot.svg", "pytorch_model.bin",
    ])  # fmt: skip


def test_code_that_lies_elsewhere_is_a_warning(tmp_path: Path) -> None:
    """Whoever trusts remote code runs what no manifest here signs."""
    files = {"model.safetensors": SHARD_1, "config.json": b'{"auto_map": {"AutoModel": "other/repo--modeling.Model"}}'}
    (warning,) = formats.scan(put(tmp_path, files)).warnings
    assert warning.startswith(
        "config.json: auto_map names code that is not published here (other/repo--modeling.Model)"
    )


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt.data-00000-of-00001"])
def test_a_file_of_more_than_50_gb_is_refused(tmp_path: Path, name: str) -> None:
    """The files are sparse: they take no room."""
    put(tmp_path, GPT2 | {name: b"x"})
    os.truncate(tmp_path / name, 50_000_000_001)
    assert "50000000001 bytes, more than 50000000000" in refusal(tmp_path)


def test_a_file_of_exactly_50_gb_is_accepted(tmp_path: Path) -> None:
    put(tmp_path, GPT2)
    os.truncate(tmp_path / "model.ckpt.data-00000-of-00001", 50_000_000_000)
    assert max(file.size_bytes for file in formats.scan(tmp_path).files) == 50_000_000_000


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read everything: so the file goes away between the walk and the check."""
    put(tmp_path, {"a.json": b"{}"})
    found = source_files.walk(tmp_path, Faults())
    monkeypatch.setattr(formats, "walk", lambda *_: found)
    (tmp_path / "a.json").unlink()
    assert refusal(tmp_path).startswith("a.json: could not be opened")
    (tmp_path / "b.json").write_bytes(b"{}")
    (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
    assert refusal(tmp_path).startswith("a.json: could not be opened")
    (tmp_path / "a.json").unlink()
    os.mkfifo(tmp_path / "a.json")
    assert refusal(tmp_path).startswith("a.json: changed while it was being read")
