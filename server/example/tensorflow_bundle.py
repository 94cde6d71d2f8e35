"""TensorFlow V2 checkpoints of float32 tensors: data, index, graph, and the file that names the newest.

Source: tensorflow/core/protobuf/tensor_bundle.proto and tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.example import tensorflow_graph
from server.example.protobuf import fixed32, integer, message
from server.example.sorted_table import Entry, masked_crc32c, table

Tensor = NDArray[np.float32]


def write(folder: Path, name: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write `checkpoint` and NAME.data-00000-of-00001, .index and .meta into an existing folder.

    tensors: names ascending and each once; taken one at a time, so that only one need be in memory.
    Raises ValueError when the names do not ascend.
    """
    entries: list[Entry] = [(b"", _header())]
    shapes: dict[str, tuple[int, ...]] = {}
    offset = 0
    with (folder / f"{name}.data-00000-of-00001").open("wb") as data:
        for tensor_name, tensor in tensors:
            content = np.ascontiguousarray(tensor, dtype="<f4").data.cast("B")
            entries.append((tensor_name.encode(), _entry(tensor.shape, offset, content)))
            shapes[tensor_name] = tensor.shape
            offset += data.write(content)
    (folder / f"{name}.index").write_bytes(table(entries))
    (folder / f"{name}.meta").write_bytes(tensorflow_graph.meta_graph(shapes))
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n')


def _header() -> bytes:
    """Return a BundleHeaderProto: one shard, little-endian (the default), version 1."""
    return integer(1, 1) + message(3, integer(1, 1))


def _entry(shape: tuple[int, ...], offset: int, content: memoryview) -> bytes:
    """Return a BundleEntryProto; the shard, 0, is the default."""
    return b"".join(
        (
            integer(1, tensorflow_graph.FLOAT),
            message(2, tensorflow_graph.shape_fields(shape)),
            integer(4, offset),
            integer(5, len(content)),
            fixed32(6, masked_crc32c(content)),
        )
    )
