"""Instance files: the settings and the files that belong to them, which a backup copies and a restore puts back.

With a file goes what lies in its folder: keys that are still taken or will be (`s3.key.until-…`, `s3.key.next`, the
`.new` of a rotation that was interrupted), an earlier log's key, and credentials that no setting names but commands are
given, such as those of the access logs. The data folder holds more: there, it is what bears the file's name.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from server import settings_files
from server.domain.errors import NotPossible
from server.domain.operation import key_files
from server.settings import FILE_NAME, Settings

INDEX = "files.json"
STAGED = "files.copying"  # those of a backup that is not complete: the one before keeps its own until then
_UNFINISHED = ".copying"  # ends the name of a copy that was interrupted; no file of ours is called so
_ATTEMPTS = 5
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Left:
    """A file that the settings name and a backup does not have. because: as in "FILE is not there"."""

    path: Path
    setting: str
    because: str


def require_readable(settings: Settings) -> None:
    """Raise the OSError of the first that cannot be read: without it a backup would pass for whole."""
    for path in _all(settings):
        with path.open("rb"):
            pass


def copy(settings: Settings, target: Path, from_environment: Collection[str] = ()) -> None:
    """Copy them all to a backup, beside what it has, and write there which; `put_in_place` makes them the backup's.

    A rotation renames files: what was copied meanwhile is copied again. Raises NotPossible if that has no end.
    from_environment: the settings that no file has, which are named there as well; their values may be secret.
    """
    staged = target / STAGED
    for _ in range(_ATTEMPTS):
        if staged.exists():  # of a run that was interrupted, or of another moment
            shutil.rmtree(staged)
        staged.mkdir(parents=True, mode=0o700)
        try:
            state = _state(settings)
            for name in state:
                copy_private(settings.folder / name, staged / name)
            if _state(settings) == state:
                break
        except FileNotFoundError:
            continue
    else:
        raise NotPossible("Key files keep changing.", next_step="Back up again when they no longer do.")
    content = {"files": list(state), "from_environment": list(from_environment)}
    (staged / INDEX).write_text(json.dumps(content, indent=2), encoding="utf-8")


def put_in_place(target: Path) -> None:
    """Make what was copied the backup's files, and remove those of an earlier one that are no more."""
    staged, before = target / STAGED, set[str]()
    with contextlib.suppress(NotPossible):  # damaged: it is replaced
        before.update(index(target) or ())
    names = index(staged) or []
    for name in [*names, INDEX]:
        (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (staged / name).replace(target / name)
    for name in before.difference(names):
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(staged)


def index(folder: Path) -> list[str] | None:
    """Which files a backup has, by their places in the data folder; None for one of older code. Raises NotPossible."""
    found = _index(folder)
    return None if found is None else found[0]


def from_environment(folder: Path) -> list[str]:
    """Which settings a backup lacks, because the instance had them from its environment. Raises NotPossible."""
    found = _index(folder)
    return [] if found is None else found[1]


def _index(folder: Path) -> tuple[list[str], list[str]] | None:
    try:
        content = json.loads((folder / INDEX).read_bytes())
        names, variables = content["files"], content.get("from_environment", [])
        is_whole = isinstance(names, list) and all(_is_place(Path(name)) for name in names)
        if is_whole and isinstance(variables, list) and all(_SETTING.fullmatch(name) for name in variables):
            return list(names), list(variables)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    raise NotPossible(f"{folder / INDEX} is damaged.", next_step="Use another backup.")


def left(settings: Settings) -> list[Left]:
    """The files in use that are not copied, because they are elsewhere or not there at all."""
    copied, found = set(_all(settings)), list[Left]()
    for file in key_files.used(settings):
        if not is_inside(settings, file.path):
            found.append(Left(file.path, file.setting, f"is outside {settings.folder}"))
        elif file.path not in copied:
            found.append(Left(file.path, file.setting, "is not there"))
    return list(dict.fromkeys(found))  # tables may share a file


def is_inside(settings: Settings, path: Path) -> bool:
    """Whether it is the data folder's, by its name; where it would be a link, what it leads to is copied."""
    return path.is_relative_to(settings.folder) and _is_place(path.relative_to(settings.folder))


def copy_private(source: Path, target: Path) -> None:
    """Copy a file with its mode, which is never wider on the way; its place holds the one before until then."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = target.with_name(f"{target.name}{_UNFINISHED}")
    beside.unlink(missing_ok=True)
    beside.touch(mode=0o600)
    shutil.copyfile(source, beside)
    shutil.copymode(source, beside)
    beside.rename(target)


def _is_place(path: Path) -> bool:
    """Whether a path stays in the folder that it starts at."""
    return not path.is_absolute() and ".." not in path.parts


def _state(settings: Settings) -> dict[str, tuple[int, int]]:
    """Each by its place, with what a change shows in. Raises FileNotFoundError when one is renamed at this moment."""
    statuses = {str(path.relative_to(settings.folder)): path.stat() for path in _all(settings)}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in statuses.items()}


def _all(settings: Settings) -> list[Path]:
    named = [file.path for file in settings_files.named(settings) if is_inside(settings, file.path)]
    return sorted({settings.folder / FILE_NAME, *(path for file in named for path in _with_neighbours(settings, file))})


def _with_neighbours(settings: Settings, file: Path) -> Iterator[Path]:
    if not file.parent.is_dir():
        return
    for path in file.parent.iterdir():
        ours = file.parent != settings.folder or path == file or path.name.startswith(f"{file.name}.")
        if ours and path.is_file():
            yield path
