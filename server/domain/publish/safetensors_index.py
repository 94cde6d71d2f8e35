"""Sharded safetensors: the index must name exactly the tensors that the shards hold, no more and no fewer."""

import re
from collections.abc import Mapping, Sequence

from server.domain.publish.source_files import NotPublishable, SourceFile, shown

# `model.safetensors.index.json`, or with a variant: `model.safetensors.index.fp16.json`.
_INDEX = re.compile(r"(.+)\.safetensors\.index(\.[A-Za-z0-9_-]+)?\.json", re.ASCII | re.IGNORECASE)
_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.safetensors", re.ASCII)


def is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None


def require_index(index: SourceFile, content: object, tensors: Mapping[str, Mapping[str, int]]) -> None:
    """Raise NotPublishable unless the index and its shards agree.

    content: the parsed index. tensors: path of each safetensors file → name of each tensor → bytes it takes.
    """
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise _fault(index, "has no weight_map from tensor to file name")
    beside = {path.rpartition("/")[2]: held for path, held in tensors.items() if _folder(path) == index.folder}
    for tensor, shard in weight_map.items():
        if shard not in beside:
            raise _fault(index, f'names the shard "{shown(shard)}", which is not in the same folder')
        if tensor not in beside[shard]:
            raise _fault(index, f'says that "{shown(tensor)}" is in {shard}, which does not contain it')
    shards = sorted(set(weight_map.values()) | {name for name in beside if _belongs(name, index)})
    for shard in shards:
        for tensor in beside[shard]:
            if tensor not in weight_map:
                raise _fault(index, f'does not name "{shown(tensor)}", which is in {shard}')
            if weight_map[tensor] != shard:
                raise _fault(index, f'finds "{shown(tensor)}" in {weight_map[tensor]}, but {shard} contains it as well')
    _require_total(index, content, sum(sum(beside[shard].values()) for shard in shards))


def require_all_parts(files: Sequence[SourceFile]) -> None:
    """Raise NotPublishable when a part of `x-00001-of-00004.safetensors` and its like is missing: a copy broke off."""
    paths = {file.path for file in files}
    for file in files:
        numbered = _PART.fullmatch(file.path)
        if numbered is None:
            continue
        stem, number, count = numbered[1], int(numbered[2]), int(numbered[3])
        if not 1 <= number <= count:
            raise NotPublishable(file.path, f"is not one of parts 00001 to {count:05}", "rename it, or save it again")
        # Every part looks for its successor, so a gap anywhere is found without listing 99,999 names for each.
        successor = f"{stem}-{number % count + 1:05}-of-{count:05}.safetensors"
        if successor not in paths:
            raise NotPublishable(
                file.path, f"is a part of a set that lacks {shown(successor)}", "copy the missing part too"
            )


def _require_total(index: SourceFile, content: object, total_bytes: int) -> None:
    metadata = content.get("metadata", {}) if isinstance(content, dict) else {}
    if not isinstance(metadata, dict):
        raise _fault(index, "has metadata that is not a JSON object")
    stated = metadata.get("total_size", total_bytes)
    if stated != total_bytes:
        raise _fault(index, f"says that the tensors take {shown(str(stated))} bytes, but they take {total_bytes}")


def _belongs(shard: str, index: SourceFile) -> bool:
    """Say whether a numbered shard goes by its name with this index, also when the index forgets it."""
    named, numbered = _INDEX.fullmatch(index.name), _PART.fullmatch(shard)
    return named is not None and numbered is not None and numbered[1] == named[1] + (named[2] or "")


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _fault(index: SourceFile, fault: str) -> NotPublishable:
    return NotPublishable(index.path, fault, "save the checkpoint again, shards and index together")
