"""Pairs of checkpoints for the delta bench: a GPT-2-like model, and what is done to one in practice.

Each tensor's bytes follow from its name, type and version alone, so what two files share can be counted without them.
"""

import hashlib
import json
import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

WEIGHTS = "model.safetensors"
CHUNK_BYTES = 64 << 20  # as the server signs them
_ELEMENT_BYTES = 2
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """One tensor of 16 bits an element. version: another one has other values, and its longer one begins alike."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "F16"
    version: int = 0

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * _ELEMENT_BYTES

    @property
    def content(self) -> tuple[str, str, int]:
        return self.name, self.dtype, self.version


@dataclass(frozen=True)
class Span:
    """Where something lies in a file. content: what it is; skipped: bytes of that before the span."""

    begin: int
    end: int
    content: tuple[str, str, int]
    skipped: int = 0


Model = Sequence[Tensor]


def gpt2(width: int = 1024, layers: int = 24) -> list[Tensor]:
    """GPT-2's tensors; as they are, those of its 355M."""
    found = [Tensor("wte.weight", (50_257, width)), Tensor("wpe.weight", (1024, width))]
    found += [Tensor("ln_f.weight", (width,)), Tensor("ln_f.bias", (width,))]
    for layer in range(layers):
        for part, rows, columns in (
            ("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width), ("mlp.c_proj", 4 * width, width),
        ):  # fmt: skip
            found.append(Tensor(f"h.{layer}.{part}.weight", (rows, columns)))
            found.append(Tensor(f"h.{layer}.{part}.bias", (columns,)))
        found += [
            Tensor(f"h.{layer}.{norm}.{what}", (width,)) for norm in ("ln_1", "ln_2") for what in ("weight", "bias")
        ]
    return found


def changes(base: Model, layers: int = 24) -> dict[str, list[Tensor]]:
    """What people do to a model, by name."""

    def tuned(which: Callable[[str], bool]) -> list[Tensor]:
        return [replace(one, version=1) if which(one.name) else one for one in base]

    last = tuple(f"h.{layer}." for layer in range(layers - 4, layers))
    grown = [
        replace(one, shape=(one.shape[0] + 64, *one.shape[1:])) if one.name == "wte.weight" else one for one in base
    ]
    added = Tensor("adapter.weight", (1024, 64))
    return {
        "config alone": list(base),
        "last 4 of 24 layers tuned": tuned(lambda name: name.startswith(last)),
        "LoRA on attention merged, all layers": tuned(lambda name: name.endswith("c_attn.weight")),
        "vocabulary grown by 64 rows": grown,
        "a tensor added in front": [added, *base],
        "both: a tensor added, 4 layers tuned": [added, *tuned(lambda name: name.startswith(last))],
        "other type (BF16)": [replace(one, dtype="BF16") for one in base],
    }


def laid_out(model: Model) -> tuple[bytes, list[Span]]:
    """The head of the file and what lies where in it, in the order of names, as the library writes it."""
    listed: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position, places = 0, []
    for tensor in sorted(model, key=lambda tensor: tensor.name):
        span = position, position + tensor.size_bytes
        listed[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": span}
        places.append((span, tensor.content))
        position = span[1]
    text = json.dumps(listed, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    name = hashlib.sha256(head).hexdigest()
    spans = [Span(0, len(head), (name, "", 0))]
    return head, spans + [Span(len(head) + begin, len(head) + end, content) for (begin, end), content in places]


def write(folder: Path, model: Model, config: dict[str, object]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    head, _ = laid_out(model)
    with (folder / WEIGHTS).open("wb") as file:
        file.write(head)
        for tensor in sorted(model, key=lambda tensor: tensor.name):
            left = tensor.size_bytes
            block = random.Random(repr(tensor.content)).randbytes(_BLOCK_BYTES)  # noqa: S311  # no secret
            for number in range(math.ceil(left / _BLOCK_BYTES)):
                file.write((number.to_bytes(8, "little") + block[8:])[:left])
                left -= _BLOCK_BYTES


def fixed(old: Model, new: Model, chunk_bytes: int) -> int:
    """Bytes to fetch with chunks of one size that lie anywhere in the older file."""
    before, after = laid_out(old)[1], laid_out(new)[1]
    known = {repr(chunk) for _, chunk in _chunks(before, chunk_bytes)}
    return sum(size for size, chunk in _chunks(after, chunk_bytes) if repr(chunk) not in known)


def aligned(old: Model, new: Model, chunk_bytes: int) -> int:
    """Bytes to fetch with a signed list of tensors, the large ones in chunks, beside the one that there is."""
    known = {repr(piece) for piece in _cut(laid_out(old)[1], chunk_bytes)}
    wanted = (piece for piece in _cut(laid_out(new)[1], chunk_bytes) if repr(piece) not in known)
    return sum(piece.end - piece.begin for piece in wanted)


def _cut(spans: Sequence[Span], chunk_bytes: int) -> Iterator[Span]:
    """Each tensor in chunks, counted from its own beginning."""
    for span in spans:
        size = span.end - span.begin
        for begin in range(0, size, chunk_bytes):
            yield Span(begin, min(begin + chunk_bytes, size), span.content)


def _chunks(spans: Sequence[Span], chunk_bytes: int) -> Iterator[tuple[int, list[Span]]]:
    """Each chunk's size, and what is in it, counted from its own beginning: what its hash depends on."""
    for begin in range(0, spans[-1].end, chunk_bytes):
        end = min(begin + chunk_bytes, spans[-1].end)
        yield (
            end - begin,
            [
                Span(max(one.begin - begin, 0), min(one.end, end) - begin, one.content, max(0, begin - one.begin))
                for one in spans
                if one.begin < end and one.end > begin
            ],
        )
