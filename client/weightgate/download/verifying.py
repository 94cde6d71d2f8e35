"""Verifying a folder: is everything in it still what the lab signed? Without any network."""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from weightgate.download import checking, manifest
from weightgate.download.folder import INSIDE, About, Folder
from weightgate.download.patience import Patience
from weightgate.verdicts import CannotTell, Refuted

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Verified:
    """A folder that is what was signed. others: paths of what lies there besides, of which nobody signed anything."""

    stage: str
    checkpoint: str
    folder: str
    files: int
    size_bytes: int
    others: list[str]


def verify(folder: Folder, about: About, key: ec.EllipticCurvePublicKey) -> Verified:
    """Check every file that was downloaded. Raises Refuted or CannotTell."""
    kept = folder.manifests()
    if kept is None:
        raise nothing_to_verify(folder.path)
    signed = manifest.read(*kept, key)
    if signed.checkpoint_id != about.checkpoint:
        raise Refuted("other_checkpoint", f"The manifest in {folder.path} is of the checkpoint {signed.checkpoint_id}.")
    files = [signed.files[path] for path in signed.files if about.paths is None or path in about.paths]
    there = [file for file in files if checking.size_of(folder.file(file.path)) is not None]
    sizes = {file.path for file in there if checking.size_of(folder.file(file.path)) != file.size_bytes}
    places = [(file, folder.file(file.path)) for file in there if file.path not in sizes]
    wrong = sizes | {path for path, chunks in checking.missing(places, Patience()).items() if chunks}
    if not signed.bound:
        wrong |= {file.path for file, path in places if file.path not in wrong and not checking.is_whole(file, path)}
    if wrong:
        raise Refuted("wrong_content", f"{_named(wrong)} not what the lab signed.", _repair(about, folder))
    if absent := {file.path for file in files} - {file.path for file in there}:
        if not about.complete:
            raise CannotTell("incomplete", f"{_named(absent)} not downloaded yet.", _repair(about, folder))
        raise Refuted("missing", f"{_named(absent)} missing.", _repair(about, folder))
    size_bytes = sum(file.size_bytes for file in files)
    others = folder.others(list(signed.files))
    return Verified(about.stage, about.checkpoint, os.fspath(folder.path), len(files), size_bytes, others)


def nothing_to_verify(path: Path) -> CannotTell:
    return CannotTell(
        "no_manifest",
        f"{path} has no manifest of ours: `weightgate download` keeps it in {INSIDE}.",
        "Choose the folder that was given to `weightgate download`.",
    )


def _named(paths: set[str]) -> str:
    shown, more = sorted(paths)[:_NAMED_AT_MOST], len(paths) - _NAMED_AT_MOST
    names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"{names} {'is' if len(paths) == 1 else 'are'}"


def _repair(about: About, folder: Folder) -> str:
    return f"Run `weightgate download {about.stage} --checkpoint {about.checkpoint} --to {folder.path} --replace`."
