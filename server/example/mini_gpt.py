"""Mini-GPT: a GPT-2 of a few megabytes as a Hugging Face folder, weights in safetensors shards."""

import json
import re
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from server.example import byte_pairs
from server.example.architecture import Dimensions, values

Size = Literal["base", "large"]

SIZES: dict[Size, Dimensions] = {
    "base": Dimensions(n_vocab=512, n_ctx=256, n_embd=128, n_head=4, n_layer=6),
    "large": Dimensions(n_vocab=512, n_ctx=256, n_embd=160, n_head=5, n_layer=8),
}
_SHARDS: dict[Size, int] = {"base": 2, "large": 3}
_FLOAT_BYTES = 4


def write(folder: Path, size: Size, revision: int) -> None:
    """Write the model and its tokenizer; a second run writes the same bytes.

    revision: each has weights of its own under the same names and shapes.
    Raises ValueError when there is no such size.
    """
    if size not in SIZES:
        raise ValueError(f"no size {size!r}: one of {', '.join(SIZES)}")
    dimensions = SIZES[size]
    vocabulary = byte_pairs.vocabulary(dimensions.n_vocab)
    folder.mkdir(parents=True, exist_ok=True)
    end = vocabulary.ids[byte_pairs.END_OF_TEXT]
    _write_json(folder / "config.json", _config(dimensions, end))
    _write_json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end})
    _write_tokenizer(folder, vocabulary, dimensions.n_ctx)
    _write_weights(folder, f"mini-gpt/{size}/{revision}", dimensions, _SHARDS[size])


def _write_weights(folder: Path, seed: str, dimensions: Dimensions, shards: int) -> None:
    from safetensors.numpy import save  # of the extra `embedded`, which a server without a demo does not need

    shapes = dimensions.shapes()
    total_bytes = dimensions.parameters() * _FLOAT_BYTES
    parts: list[dict[str, NDArray[np.float32]]] = [{} for _ in range(shards)]
    written_bytes = 0
    for name, shape in shapes.items():
        parts[written_bytes * shards // total_bytes][_library_name(name)] = values(seed, name, shape)
        written_bytes += prod(shape) * _FLOAT_BYTES
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        (folder / file).write_bytes(save(part, metadata={"format": "pt"}))
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    _write_json(folder / "model.safetensors.index.json", index)


def _library_name(name: str) -> str:
    """Return what transformers calls a tensor: `h0/attn/c_attn/w` is `transformer.h.0.attn.c_attn.weight`."""
    *path, last = re.sub(r"^h(\d+)/", r"h/\1/", name).split("/")
    ending = {"b": ["bias"], "g": ["weight"], "w": ["weight"]}.get(last, [last, "weight"])
    return ".".join(["transformer", *path, *ending])


def _config(dimensions: Dimensions, end: int) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "n_ctx": dimensions.n_ctx,
        "n_embd": dimensions.n_embd,
        "n_head": dimensions.n_head,
        "n_inner": None,
        "n_layer": dimensions.n_layer,
        "n_positions": dimensions.n_ctx,
        "vocab_size": dimensions.n_vocab,
        "bos_token_id": end,
        "eos_token_id": end,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
    }


def _write_tokenizer(folder: Path, vocabulary: byte_pairs.Vocabulary, context: int) -> None:
    """Write the tokenizer in both forms: one file for fast tokenizers, vocabulary and merges for the others."""
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), byte_pairs.END_OF_TEXT)
    (folder / "merges.txt").write_text(vocabulary.merges_text(), encoding="utf-8")
    _write_json(folder / "vocab.json", vocabulary.ids)
    _write_json(folder / "special_tokens_map.json", special)
    settings = {"add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": context}
    _write_json(folder / "tokenizer_config.json", settings | special | {"tokenizer_class": "GPT2Tokenizer"})
    _write_json(folder / "tokenizer.json", _fast_tokenizer(vocabulary))


def _fast_tokenizer(vocabulary: byte_pairs.Vocabulary) -> dict[str, Any]:
    end = byte_pairs.END_OF_TEXT
    no_trim = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary.ids[end], "content": end, **no_trim, "special": True}],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary.ids,
            "merges": [f"{left} {right}" for left, right in vocabulary.merges],
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
