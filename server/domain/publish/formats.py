"""The list of formats that may be published, and the check behind each: what is not on it is refused.

On the list is what carries numbers, text or vocabularies. Not on it is what a loader may execute: pickles (`.bin`,
`.pt`, `.pth`, `.ckpt`, `.pkl`, `.npy`, `.npz`), HDF5 with its Keras lambdas, scripts. A file must also look like its
name inside. What no check here judges: the graph in `model.ckpt.meta` (see original_sets), and chat templates
(`.jinja`, or inside `tokenizer_config.json`), which readers run in a sandbox.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from server.domain.publish import file_contents, original_sets, safetensors_header, safetensors_index
from server.domain.publish.source_files import NotPublishable, SourceFile, walk

__all__ = ["NotPublishable", "SourceFile", "scan"]

_TEXT_SUFFIXES = {".txt", ".md", ".jinja", ".bpe"}
_TEXT_NAMES = {"LICENSE", "NOTICE", "README", "checkpoint"}
_CODE_SUFFIXES = {
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".hdf5", ".keras", ".msgpack",
}  # fmt: skip


def scan(folder: Path) -> list[SourceFile]:
    """Return the files of a folder, sorted by path, each one checked. Raises NotPublishable for the first that fails.

    Reads headers, text and JSON whole, and of weights only the header; writes nothing.
    """
    files = walk(folder)
    checks = [_check_for(file) for file in files]  # a wrong format is known before anything large is read
    safetensors_index.require_all_parts(files)
    original_sets.require_sets(files)
    for file, check in zip(files, checks, strict=True):
        check(file)
    _require_indexes(files)
    return files


def _check_for(file: SourceFile) -> Callable[[SourceFile], object]:
    suffix = PurePosixPath(file.name).suffix.lower()
    if original_sets.is_member(file.name) and file.name not in _TEXT_NAMES:
        return _check_for_member(suffix)
    if file.name in _TEXT_NAMES or suffix in _TEXT_SUFFIXES:
        return file_contents.require_text
    if suffix == ".safetensors":
        return safetensors_header.read_tensors
    if suffix == ".json":
        return file_contents.read_json
    if suffix in {".model", ".tiktoken"}:
        return file_contents.require_tokenizer_model
    if suffix in _CODE_SUFFIXES:
        raise NotPublishable(
            file.path,
            f"can run code on the machine that loads it ({suffix})",
            "convert it to safetensors and remove it",
        )
    raise NotPublishable(
        file.path,
        "is not in a format that can be published",
        "move it out of the folder (supported: safetensors, JSON, text, tokenizers and original GPT-2 sets)",
    )


def _check_for_member(suffix: str) -> Callable[[SourceFile], object]:
    if suffix == ".index":
        return original_sets.require_table
    if suffix == ".meta":
        return lambda file: file_contents.require_protobuf(file, file_contents.META_GRAPH_FIELDS)
    return file_contents.require_numbers


def _require_indexes(files: Sequence[SourceFile]) -> None:
    indexes = [file for file in files if safetensors_index.is_index(file.name)]
    if not indexes:
        return
    tensors: Mapping[str, Mapping[str, int]] = {
        file.path: safetensors_header.read_tensors(file) for file in files if file.name.lower().endswith(".safetensors")
    }
    for index in indexes:
        safetensors_index.require_index(index, file_contents.read_json(index, strict=True), tensors)
