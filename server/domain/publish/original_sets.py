"""The original GPT-2 file sets: a TensorFlow 1 checkpoint with its vocabulary and its sizes, in one folder.

`model.ckpt.data-…` is raw numbers and `model.ckpt.index` a sorted table of where they are: neither can carry code.
`model.ckpt.meta` is a TensorFlow graph, and a graph may hold operations that read and write files or call back into
Python. No check here looks into the graph. The file is accepted because the first GPT-2 code loads with it, and only
as part of a complete set: whoever imports a graph must trust who signed the manifest. `.index` and `.data` suffice
to read the weights, so a set without `.meta` is complete too.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from server.domain.publish.faults import Faults, NotPublishable, shown
from server.domain.publish.source_files import SourceFile

_MEMBER = re.compile(r"(model\.ckpt(?:-[0-9]+)?)\.(?:(index|meta)|data-([0-9]{5})-of-([0-9]{5}))", re.ASCII)
_COMPANIONS = ("checkpoint", "encoder.json", "hparams.json", "vocab.bpe")
_STATED_PATH = re.compile(r'^(?:model_checkpoint_path|all_model_checkpoint_paths): "(.*)"$', re.ASCII)
_STATE_LINE = re.compile(r"^(?:all_model_checkpoint_timestamps|last_preserved_timestamp): [0-9.e+]+$", re.ASCII)
_MAX_STATE_BYTES = 1_000_000

# Source: LevelDB's table format, the last eight bytes of the footer, little-endian; TensorFlow's io::Table keeps it.
_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_TABLE_FOOTER_BYTES = 48


def is_member(name: str) -> bool:
    """Say whether a file of this name is accepted only as part of an original set."""
    return name == "checkpoint" or _MEMBER.fullmatch(name) is not None


def gather_incomplete(files: Sequence[SourceFile], paths: Sequence[str], faults: Faults) -> None:
    """Gather what is wrong with TensorFlow files that do not belong to a complete set in their folder.

    paths: of all that lies in the folder, also of files with a fault of their own.
    """
    folders: dict[str, dict[str, SourceFile | None]] = defaultdict(dict)
    for path in paths:
        parent, _, name = path.rpartition("/")
        folders[parent or "."][name] = None
    for file in files:
        folders[file.folder][file.name] = file
    for names in folders.values():
        members = [file for name, file in names.items() if file is not None and is_member(name)]
        if members:
            with faults.gathered():
                _require_set(members, names)


def require_table(file: SourceFile) -> None:
    """Raise NotPublishable unless the file ends like the sorted table that a `.index` is."""
    with file.open_unchanged() as stream:
        stream.seek(max(0, file.size_bytes - len(_TABLE_MAGIC)))
        end = stream.read(len(_TABLE_MAGIC))
    if file.size_bytes < _TABLE_FOOTER_BYTES or end != _TABLE_MAGIC:
        raise NotPublishable(file.path, "is not a TensorFlow checkpoint index, or is truncated", "copy it again")


def _require_set(members: Sequence[SourceFile], names: Mapping[str, SourceFile | None]) -> None:
    first = members[0]
    stems = {match[1] for file in members if (match := _MEMBER.fullmatch(file.name))}
    if not stems:
        raise _missing(first, "model.ckpt.index")
    for stem in sorted(stems):
        for wanted in (*_COMPANIONS, f"{stem}.index", *_data_parts(stem, members)):
            if wanted not in names:
                raise _missing(first, wanted)
    if (state := names["checkpoint"]) is not None:
        _require_state(state, stems)


def _data_parts(stem: str, members: Sequence[SourceFile]) -> list[str]:
    """Name the data parts a stem must have, by what the parts that are there say."""
    matches = [match for file in members if (match := _MEMBER.fullmatch(file.name)) and match[1] == stem and match[3]]
    if not matches:
        return [f"{stem}.data-00000-of-00001"]
    counts = {match[4] for match in matches}
    if len(counts) > 1 or any(match[3] >= match[4] for match in matches):
        path = members[0].path
        raise NotPublishable(path, f"has data parts of {stem} that contradict each other", "keep one set of parts")
    return [f"{stem}.data-{number:05}-of-{min(counts)}" for number in range(int(min(counts)))]


def _require_state(file: SourceFile, stems: set[str]) -> None:
    """Check `checkpoint`, the text that says what to load: a path in it must not lead TensorFlow out of the folder."""
    if file.size_bytes > _MAX_STATE_BYTES:
        raise NotPublishable(file.path, "is too large for a checkpoint state file", "copy it again")
    with file.open_unchanged() as stream:
        lines = stream.read(_MAX_STATE_BYTES).decode("utf-8", "replace").splitlines()
    stated = {match[1] for line in lines if (match := _STATED_PATH.match(line))}
    strange = [line for line in lines if line and not _STATED_PATH.match(line) and not _STATE_LINE.match(line)]
    if strange:
        raise NotPublishable(
            file.path, f'has a line that does not belong in a checkpoint state file, "{shown(strange[0])}"', "remove it"
        )
    if not stated or not stated <= stems:
        wanted = " or ".join(sorted(stems))
        raise NotPublishable(
            file.path, "does not name the checkpoint next to it", f'make it name "{wanted}" and no other path'
        )


def _missing(file: SourceFile, wanted: str) -> NotPublishable:
    return NotPublishable(
        file.path, f"is part of a TensorFlow checkpoint that lacks {wanted}", "publish the complete original set"
    )
