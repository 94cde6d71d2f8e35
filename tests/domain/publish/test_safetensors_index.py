"""Numbered parts and their index: numbers of any width, variants on either side, and no tensor of two minds."""

import json
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save

from server.domain.publish import formats
from tests.domain.publish.folders import put, refusals

A = save({"a": numpy.ones(4, "float32")})
B = save({"b": numpy.ones(4, "float32")})


def index(weight_map: dict[str, str], **metadata: object) -> bytes:
    return json.dumps({"metadata": metadata, "weight_map": weight_map}).encode()


@pytest.mark.parametrize(
    "name",
    ["model-0000{}-of-000002.safetensors", "model-{}-of-2.safetensors", "model-0000{}-of-00002.fp16.safetensors",
     "model.fp16-0000{}-of-00002.safetensors", "below/model-0000{}-of-00002.SAFETENSORS"],
)  # fmt: skip
def test_a_part_alone_is_refused_whatever_the_width_of_its_number(tmp_path: Path, name: str) -> None:
    """Six digits, as DeepSeek writes them, are numbers too; a variant may follow."""
    put(tmp_path, {name.format(1): A})
    (line,) = refusals(tmp_path)
    assert line.startswith(f"{name.format(1)}: is a part of a set that lacks {name.format(2)}; ")
    put(tmp_path, {name.format(2): B})
    assert len(formats.scan(tmp_path).files) == 2


def test_a_set_is_refused_once_and_says_how_much_it_lacks(tmp_path: Path) -> None:
    """Also of a count that no folder could hold."""
    put(tmp_path, {"m-00002-of-00009.safetensors": A, "m-00003-of-00009.safetensors": B, f"n-1-of-{'9' * 60}.gguf": A})
    mine, _, huge = refusals(tmp_path)
    assert mine.startswith("m-00002-of-00009.safetensors: is a part of a set that lacks m-00001-of-00009.safetensors")
    assert "and 6 more" in mine
    assert "lacks n-2-of-" in huge


@pytest.mark.parametrize(
    ("extra", "index_name"),
    [("model-00002-of-000002", "model.safetensors.index"), ("model-00003-of-00003", "model.safetensors.index"),
     ("model-00001-of-00001.fp16", "model.safetensors.index.fp16")],
)  # fmt: skip
def test_a_part_that_the_index_does_not_name_is_refused(tmp_path: Path, extra: str, index_name: str) -> None:
    """Whatever its numbers: it goes by its name with the index."""
    put(tmp_path, {"other.safetensors": A, f"{extra}.safetensors": B})
    put(tmp_path, {f"{index_name}.json": index({"a": "other.safetensors"})})
    assert f'{index_name}.json: does not name "b", which is in {extra}.safetensors' in "\n".join(refusals(tmp_path))


@pytest.mark.parametrize("stated", [16, 1000, -1, 32.5])
def test_a_wrong_total_is_a_warning_that_names_the_right_one(tmp_path: Path, stated: object) -> None:
    """A total of file bytes is common, and readers pay no attention to it."""
    name = "m-1-of-1.safetensors"
    put(tmp_path, {name: A, "m.safetensors.index.json": index({"a": name}, total_size=stated)})
    says = f"m.safetensors.index.json: says that the tensors take {stated} bytes, but they take 16"
    assert formats.scan(tmp_path).warnings == ([] if stated == 16 else [says])


def test_a_single_file_beside_an_index_of_its_name_is_refused(tmp_path: Path) -> None:
    """Loaders take the single file first, whatever the set holds; an index of that very file is fine."""
    put(tmp_path, {"model.safetensors": A, "model-1-of-1.safetensors": B})
    put(tmp_path, {"model.safetensors.index.json": index({"b": "model-1-of-1.safetensors"})})
    (line,) = refusals(tmp_path)
    assert "is the index of a set next to model.safetensors, which loaders prefer" in line
    (tmp_path / "model-1-of-1.safetensors").unlink()
    put(tmp_path, {"model.safetensors.index.json": index({"a": "model.safetensors"})})
    assert formats.scan(tmp_path).warnings == []


def test_a_tensor_in_two_parts_of_one_set_is_refused(tmp_path: Path) -> None:
    """Without an index the order of reading would decide which one counts."""
    put(tmp_path, {"m-1-of-2.safetensors": A, "m-2-of-2.safetensors": A})
    (line,) = refusals(tmp_path)
    assert line.startswith('m-2-of-2.safetensors: contains "a", and so does m-1-of-2.safetensors; ')


def test_a_tensor_in_two_sets_is_a_warning_unless_they_are_variants(tmp_path: Path) -> None:
    """A variant repeats on purpose; two sets of one kind may be an old one and a new one."""
    put(tmp_path, {"model.safetensors": A, "model.fp16.safetensors": A, "below/model.safetensors": A})
    assert formats.scan(tmp_path).warnings == []
    put(tmp_path, {"old.safetensors": A})
    (warning,) = formats.scan(tmp_path).warnings
    assert warning.startswith('old.safetensors: contains "a", and so does model.safetensors; ')
