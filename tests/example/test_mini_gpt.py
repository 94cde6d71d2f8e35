"""Mini-GPT is a folder that Hugging Face tools read: its shards, its index, its tokenizer, its size."""

import json
import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from server.example import byte_pairs, mini_gpt

_SIZES: list[mini_gpt.Size] = ["base", "large"]
_ENDINGS = (".json", ".txt", ".safetensors")


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _encode(text: str, folder: Path) -> list[int]:
    """Return the tokens of one word, merged as GPT-2's own encoder does: the most urgent pair first."""
    ids = _json(folder / "vocab.json")
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}
    symbols = [byte_pairs.byte_letters()[byte] for byte in text.encode()]
    while len(symbols) > 1:
        pairs = list(pairwise(symbols))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        place = pairs.index(best)
        symbols[place : place + 2] = ["".join(best)]
    return [ids[symbol] for symbol in symbols]


@pytest.mark.parametrize("size", _SIZES)
def test_shards_and_index_name_exactly_the_models_tensors(tmp_path: Path, size: mini_gpt.Size) -> None:
    """The library opens every shard; the index says where each tensor is, and how many bytes all of them have."""
    mini_gpt.write(tmp_path, size, 1)
    index, config = _json(tmp_path / "model.safetensors.index.json"), _json(tmp_path / "config.json")
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert shards == [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    tensors: dict[str, NDArray[Any]] = {}
    for shard in shards:
        content = load_file(tmp_path / shard)
        assert set(content) == {name for name, file in index["weight_map"].items() if file == shard}
        tensors |= content
    width, layers = config["n_embd"], config["n_layer"]
    assert len(tensors) == len(index["weight_map"]) == 4 + 12 * layers
    assert tensors["transformer.wte.weight"].shape == (config["vocab_size"], width)
    assert tensors["transformer.wpe.weight"].shape == (config["n_positions"], width)
    assert tensors[f"transformer.h.{layers - 1}.attn.c_attn.weight"].shape == (width, 3 * width)
    assert tensors["transformer.h.0.mlp.c_proj.bias"].shape == (width,)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize("size", _SIZES)
def test_a_shards_header_is_strict_and_its_data_without_gaps(tmp_path: Path, size: mini_gpt.Size) -> None:
    """A publisher's own check of the header passes: no duplicate key, offsets from 0 to the end of the file."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    mini_gpt.write(tmp_path, size, 1)
    for path in tmp_path.glob("*.safetensors"):
        content = path.read_bytes()
        (header_size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + header_size], object_pairs_hook=unique)
        assert header.pop("__metadata__") == {"format": "pt"}
        end = 0
        for start, stop in sorted(tensor["data_offsets"] for tensor in header.values()):
            assert start == end
            end = stop
        assert 8 + header_size + end == len(content)


def test_sizes_are_worth_a_resumed_download_and_names_may_be_published(tmp_path: Path) -> None:
    """The largest file of `base` has 2 to 4 MB, `large` is larger, and every name and format is on the allow-list."""
    for size in _SIZES:
        mini_gpt.write(tmp_path / size, size, 1)
    base, large = (max(path.stat().st_size for path in (tmp_path / size).iterdir()) for size in _SIZES)
    assert 2_000_000 < base < large < 4_500_000
    for path in tmp_path.glob("*/*"):
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", path.name)
        assert path.name.endswith(_ENDINGS)


def test_a_run_repeats_itself_and_a_revision_does_not(tmp_path: Path) -> None:
    """Two revisions share everything but the weights; a second run of one is the same to the byte."""
    for folder, revision in (("one", 1), ("again", 1), ("two", 2)):
        mini_gpt.write(tmp_path / folder, "base", revision)
    one, again, two = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("one", "again", "two")
    )
    assert one == again
    assert {name for name in one if one[name] != two[name]} == {name for name in one if name.endswith(".safetensors")}


def test_the_tokenizers_two_forms_agree_with_the_model(tmp_path: Path) -> None:
    """One file for fast tokenizers, two for the others: the same tokens, as many as the model has rows."""
    mini_gpt.write(tmp_path, "base", 1)
    fast, ids, config = (_json(tmp_path / name) for name in ("tokenizer.json", "vocab.json", "config.json"))
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert fast["model"]["vocab"] == ids
    assert fast["model"]["merges"] == merges
    assert sorted(ids.values()) == list(range(config["vocab_size"]))
    assert config["model_type"] == "gpt2"
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert [added["id"] for added in fast["added_tokens"]] == [config["eos_token_id"]] == [ids["<|endoftext|>"]]
    generation = _json(tmp_path / "generation_config.json")
    assert generation["eos_token_id"] == config["eos_token_id"]
    assert _json(tmp_path / "special_tokens_map.json")["eos_token"] == "<|endoftext|>"
    assert _json(tmp_path / "tokenizer_config.json")["model_max_length"] == config["n_positions"]


@pytest.mark.parametrize("text", [" partner", "naïve", "模型", "🙂", "\n\t\0", "Ελληνικά"])
def test_any_text_becomes_tokens_and_comes_back(tmp_path: Path, text: str) -> None:
    """All 256 bytes are tokens, so no text is unknown; what the text taught is shorter."""
    mini_gpt.write(tmp_path, "base", 1)
    letters = {number: token for token, number in _json(tmp_path / "vocab.json").items()}
    bytes_of = {letter: byte for byte, letter in byte_pairs.byte_letters().items()}
    tokens = _encode(text, tmp_path)
    assert bytes(bytes_of[letter] for token in tokens for letter in letters[token]).decode() == text
    assert len(tokens) <= len(text.encode())


def test_the_merges_are_learned_and_frequent_words_are_one_token(tmp_path: Path) -> None:
    """None of the pairs is a mere filler, and the first is the most frequent of the text."""
    mini_gpt.write(tmp_path, "base", 1)
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert len(merges) == 512 - 256 - 1
    assert merges[0] == "Ġ t"
    assert "! !" not in merges
    assert all(len(_encode(word, tmp_path)) == 1 for word in (" the", " and", " model"))


def test_a_vocabulary_of_the_originals_size_is_complete() -> None:
    """50,257 tokens, each once, though the text teaches only a few hundred."""
    vocabulary = byte_pairs.vocabulary(50257)
    assert len(vocabulary.ids) == 50257
    assert len(set(vocabulary.merges)) == len(vocabulary.merges) == 50000
    assert vocabulary.ids["<|endoftext|>"] == 50256
    assert vocabulary.merges[:255] == byte_pairs.vocabulary(512).merges


def test_an_unknown_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The sentence names the sizes that there are."""
    with pytest.raises(ValueError, match="base, large"):
        mini_gpt.write(tmp_path / "folder", "huge", 1)  # type: ignore[arg-type]
    assert not (tmp_path / "folder").exists()
