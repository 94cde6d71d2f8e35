"""Sharded safetensors: the index must name exactly the tensors that the shards hold, no more and no fewer.

The parts of a set are known by their numbers, of any width: `model-00001-of-000002.safetensors`. A variant stands
before the numbers or after them. GGUF is split under such names too, without an index.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from server.domain.publish.faults import Faults, NotPublishable, shown
from server.domain.publish.source_files import SourceFile

# `model.safetensors.index.json`, or with a variant: `model.safetensors.index.fp16.json`.
_INDEX = re.compile(r"(.+)\.safetensors\.index(\.[A-Za-z0-9_-]+)?\.json", re.ASCII | re.IGNORECASE)
_PART = re.compile(r"(.+)-([0-9]+)-of-([0-9]+)(\.[A-Za-z0-9_-]+)?\.(safetensors|gguf)", re.ASCII | re.IGNORECASE)

Tensors = Mapping[str, Mapping[str, int]]  # path of each safetensors file → name of each tensor → bytes it takes


@dataclass(frozen=True, slots=True)
class _Set:
    """What the names of one set's parts have in common."""

    stem: str  # with its folder
    width: int  # digits of a part's number
    count: str
    variant: str
    suffix: str

    def part(self, number: int) -> str:
        return f"{self.stem}-{number:0{self.width}}-of-{self.count}{self.variant}.{self.suffix}"


def is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None


def require_index(index: SourceFile, content: object, tensors: Tensors) -> list[str]:
    """Return warnings. Raises NotPublishable unless the index and its shards agree.

    content: the parsed index.
    """
    weight_map = _weight_map(content)
    if weight_map is None:
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
    _require_no_single_file(index, beside, shards)
    return _warn_of_total(index, content, sum(sum(beside[shard].values()) for shard in shards))


def gather_missing_parts(paths: Iterable[str], faults: Faults) -> None:
    """Gather what a set of numbered parts lacks, a fault a set, and parts that its count has no room for."""
    sets: dict[_Set, dict[int, str]] = defaultdict(dict)
    for path in paths:
        if (part := _part(path)) is not None:
            one, number = part
            sets[one][number] = path
    for one, parts in sets.items():
        count = int(one.count)
        for number, path in parts.items():
            if not 1 <= number <= count:
                fault = f"is not one of parts {1:0{one.width}} to {one.count}"
                faults.add(path, fault, "rename it, or save it again")
        present = {number for number in parts if 1 <= number <= count}
        if present and len(present) < count:
            missing = next(number for number in range(1, count + 1) if number not in present)
            more = f" and {count - len(present) - 1} more" if count - len(present) > 1 else ""
            fault = f"is a part of a set that lacks {shown(one.part(missing))}{more}"
            faults.add(parts[min(present)], fault, "copy what is missing too")


def gather_doubles(tensors: Tensors, indexed: Collection[str], faults: Faults) -> list[str]:
    """Return a warning for each pair of files that hold one tensor and no index says which counts.

    Within one set of parts that is a fault. indexed: the paths that an index names. Variants repeat on purpose.
    """
    warnings: dict[tuple[str, str], str] = {}
    holders: dict[tuple[str, str, str], str] = {}  # by folder, variant and tensor
    for path in sorted(tensors.keys() - set(indexed)):
        for tensor in tensors[path]:
            first = holders.setdefault((_folder(path), _variant(path), tensor), path)
            if first == path or (first, path) in warnings:
                continue
            if _are_of_one_set(first, path):
                faults.add(path, f'contains "{shown(tensor)}", and so does {first}', "save the checkpoint again")
                break
            warnings[first, path] = (
                f'{path}: contains "{shown(tensor)}", and so does {first}; loaders decide which one they use'
            )
    return list(warnings.values())


def indexed_paths(index: SourceFile, content: object) -> set[str]:
    """The paths of the shards that an index names."""
    prefix = "" if index.folder == "." else f"{index.folder}/"
    return {prefix + shard for shard in (_weight_map(content) or {}).values()}


def _weight_map(content: object) -> dict[str, str] | None:
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if isinstance(weight_map, dict) and all(isinstance(shard, str) for shard in weight_map.values()):
        return weight_map
    return None


def _require_no_single_file(index: SourceFile, beside: Collection[str], shards: Collection[str]) -> None:
    named = _INDEX.fullmatch(index.name)
    single = f"{named[1]}{named[2] or ''}.safetensors" if named else ""
    if single in beside and single not in shards:
        fault = f"is the index of a set next to {shown(single)}, which loaders prefer"
        raise NotPublishable(index.path, fault, "publish either the single file or the set")


def _warn_of_total(index: SourceFile, content: object, total_bytes: int) -> list[str]:
    """A total that counts the files' bytes is common, and readers pay no attention to it."""
    metadata = content.get("metadata", {}) if isinstance(content, dict) else {}
    if not isinstance(metadata, dict):
        raise _fault(index, "has metadata that is not a JSON object")
    stated = metadata.get("total_size", total_bytes)
    if isinstance(stated, str):
        raise _fault(index, f'has the total_size "{shown(stated)}", which is text, not a number')
    if type(stated) not in {int, float}:
        raise _fault(index, "has a total_size that is not a number")
    if stated == total_bytes:
        return []
    return [f"{index.path}: says that the tensors take {shown(str(stated))} bytes, but they take {total_bytes}"]


def _belongs(shard: str, index: SourceFile) -> bool:
    """Say whether a numbered shard goes by its name with this index, also when the index forgets it."""
    named, numbered = _INDEX.fullmatch(index.name), _PART.fullmatch(shard)
    return (
        named is not None and numbered is not None and numbered[1] + (numbered[4] or "") == named[1] + (named[2] or "")
    )


def _part(path: str) -> tuple[_Set, int] | None:
    """The set that a file is a part of by its name, and its number there."""
    if (found := _PART.fullmatch(path)) is None:
        return None
    stem, number, count, variant, suffix = found.groups("")
    return _Set(stem, len(number), count, variant, suffix), int(number)


def _are_of_one_set(path: str, other: str) -> bool:
    part, other_part = _part(path), _part(other)
    return part is not None and other_part is not None and part[0] == other_part[0]


def _variant(path: str) -> str:
    """What stands between the first dot of a name and its suffix: `.fp16`, or nothing."""
    found = _PART.fullmatch(path)
    stem = found[1] + (found[4] or "") if found else path.rpartition(".")[0]
    return stem.rpartition("/")[2].partition(".")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _fault(index: SourceFile, fault: str) -> NotPublishable:
    return NotPublishable(index.path, fault, "save the checkpoint again, shards and index together")
