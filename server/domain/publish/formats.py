"""The list of formats that may be published, and the check behind each: what is not on it is refused.

On the list is what carries numbers, text, vocabularies or pictures. Not on it is what a loader may execute: pickles
(`.bin`, `.pt`, `.pth`, `.ckpt`, `.pkl`, `.npy`, `.npz`), HDF5 with its Keras lambdas, scripts. A file must also look
like its name inside. What no check here judges: the graph in `model.ckpt.meta` (see original_sets), and chat templates
(`.jinja`, or inside `tokenizer_config.json` and GGUF), which readers run in a sandbox.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from server.domain.publish import (
    file_contents,
    gguf_header,
    original_sets,
    safetensors_header,
    safetensors_index,
    stand_ins,
)
from server.domain.publish.faults import Faults, NotPublishable, shown
from server.domain.publish.source_files import Folder, SourceFile, StoredFile, require_names, walk

Check = Callable[[SourceFile], object]

_LEGAL = re.compile(r"(?:licen[cs]e|notice|copying|copyright|readme)(?:[-_][a-z0-9_-]+)?", re.ASCII | re.IGNORECASE)
_TOKENIZER_MODEL = re.compile(r".+(?:\.model(?:\.v[0-9]+)?|\.spm|\.tiktoken)", re.ASCII | re.IGNORECASE)
_TEXT_SUFFIXES = {".txt", ".md", ".jinja", ".bpe", ".vocab", ".cff"}
_WEIGHTS_SUFFIXES = {".safetensors", ".gguf", ".index"}
_CODE_SUFFIXES = {
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".hdf5", ".keras",
}  # fmt: skip
_CHECKS: dict[str, Check] = {
    **dict.fromkeys(_TEXT_SUFFIXES, file_contents.require_text),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), file_contents.require_image),
    ".safetensors": safetensors_header.read_tensors,
    ".gguf": gguf_header.require_gguf,
    ".json": file_contents.read_json,
}


@dataclass(frozen=True)
class Scanned:
    """A folder whose files were all found sound."""

    files: Sequence[SourceFile]  # sorted by path
    left_out: list[str]  # what lies there and is not published
    warnings: list[str]  # what may be published and should be known first: a line each, path first


def require_known(files: Sequence[tuple[str, int]]) -> None:
    """Raise NotPublishable for what the paths and sizes of files show, before any of them is sent."""
    faults = Faults()
    require_names(files, faults)
    found = [StoredFile(path, Path(path), size_bytes, "") for path, size_bytes in files]
    folders_with_weights = _with_weights(found)
    for file in found:
        with faults.gathered():
            _check_for(file, beside_weights=file.folder in folders_with_weights)
    safetensors_index.gather_missing_parts([file.path for file in found], faults)
    faults.refuse()


def scan(folder: Path | Folder) -> Scanned:
    """Check every file of a folder, or of what was found in one. Raises NotPublishable, which names all that is wrong.

    Reads headers, text and JSON whole, and of weights only the header; writes nothing.
    """
    faults = Faults()
    found = folder if isinstance(folder, Folder) else walk(folder, faults)
    folders_with_weights = _with_weights(found.files)
    tensors: dict[str, dict[str, int]] = {}
    warnings: list[str] = []
    for file in found.files:
        with faults.gathered():
            stand_ins.require_no_stand_in(file)
            content = _check_for(file, beside_weights=file.folder in folders_with_weights)(file)
            if _suffix(file) == ".safetensors":
                tensors[file.path] = content  # type: ignore[assignment]  # what its check returns
            elif _suffix(file) == ".json":
                warnings += _warn_of_code(file, content)
    safetensors_index.gather_missing_parts(found.paths, faults)
    original_sets.gather_incomplete(found.files, found.paths, faults)
    warnings += _gather_indexes(found, tensors, faults)
    faults.refuse()
    return Scanned(found.files, found.left_out, warnings)


def _with_weights(files: Sequence[SourceFile]) -> set[str]:
    """The folders in which weights lie."""
    return {file.folder for file in files if _suffix(file) in _WEIGHTS_SUFFIXES}


def _check_for(file: SourceFile, *, beside_weights: bool) -> Check:
    suffix = _suffix(file)
    if original_sets.is_member(file.name):
        return _check_for_member(file.name, suffix)
    if _LEGAL.fullmatch(file.name):
        return file_contents.require_text
    if _TOKENIZER_MODEL.fullmatch(file.name):
        return file_contents.require_tokenizer_model
    if suffix in {".yaml", ".yml"} and beside_weights:
        return file_contents.require_yaml
    if check := _CHECKS.get(suffix):
        return check
    if suffix in _CODE_SUFFIXES:
        raise NotPublishable(
            file.path,
            f"can run code on the machine that loads it ({suffix})",
            "convert it to safetensors and remove it",
        )
    if suffix == ".msgpack":
        raise NotPublishable(
            file.path, "is in Flax's format, which cannot be checked here", "convert it to safetensors and remove it"
        )
    raise NotPublishable(
        file.path,
        "is not in a format that can be published",
        "move it out of the folder (supported: safetensors, GGUF, JSON, text, tokenizers, images (png, jpg, webp), "
        "YAML next to weights, and original GPT-2 sets)",
    )


def _check_for_member(name: str, suffix: str) -> Check:
    if name == "checkpoint":
        return file_contents.require_text
    if suffix == ".index":
        return original_sets.require_table
    if suffix == ".meta":
        return lambda file: file_contents.require_protobuf(file, file_contents.META_GRAPH_FIELDS)
    return file_contents.require_numbers


def _gather_indexes(found: Folder, tensors: dict[str, dict[str, int]], faults: Faults) -> list[str]:
    """Return warnings. Only where every safetensors file is sound can an index be compared with them."""
    if any(path.lower().endswith(".safetensors") and path not in tensors for path in found.paths):
        return []
    warnings: list[str] = []
    indexed: set[str] = set()
    for index in found.files:
        if safetensors_index.is_index(index.name) and not faults.about(index.path):
            with faults.gathered():
                content = file_contents.read_json(index, strict=True)
                indexed |= safetensors_index.indexed_paths(index, content)
                warnings += safetensors_index.require_index(index, content, tensors)
    return warnings + safetensors_index.gather_doubles(tensors, indexed, faults)


def _warn_of_code(file: SourceFile, content: object) -> list[str]:
    """Whoever loads such a checkpoint and trusts its code fetches it from elsewhere, past what is signed here."""
    auto_map = content.get("auto_map") if isinstance(content, dict) else None
    if not auto_map:
        return []
    named = shown(str(next(iter(auto_map.values()))) if isinstance(auto_map, dict) else str(auto_map))
    return [f"{file.path}: auto_map names code that is not published here ({named}); loaders may fetch and run it"]


def _suffix(file: SourceFile) -> str:
    return PurePosixPath(file.name).suffix.lower()
