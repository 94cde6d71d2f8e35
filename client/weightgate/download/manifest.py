"""The manifest of a checkpoint: which files, in which chunks, with which hashes; all of it signed."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from weightgate.download import bundle
from weightgate.download.bundle import Bundle, NotSigned
from weightgate.verdicts import Malformed, Refuted

ID_CHARACTERS = 40
_SPAN = re.compile(r"(.+):(0|[1-9][0-9]{0,15}):([1-9][0-9]{0,15})")
_PART = re.compile(r"[A-Za-z0-9._+=@,~-]{1,255}")
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of a file, `end` excluded."""

    begin: int
    end: int
    sha256: str

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class File:
    """One file of a checkpoint, and its chunks in order."""

    path: str
    sha256: str
    chunks: tuple[Chunk, ...]

    @property
    def size_bytes(self) -> int:
        return self.chunks[-1].end


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was signed of a checkpoint.

    bound: its chunks name it. Else they could be another checkpoint's, so a file's chunks alone do not prove the file.
    """

    checkpoint_id: str
    files: dict[str, File]
    bound: bool


def id_of(files_form: bytes) -> str:
    """Return the checkpoint that a files form is of: its id is the beginning of its SHA-256."""
    return hashlib.sha256(files_form).hexdigest()[:ID_CHARACTERS]


def read(files_form: bytes, chunks_form: bytes, key: ec.EllipticCurvePublicKey) -> Manifest:
    """Check both forms against the key and against each other. Raises Refuted."""
    checkpoint_id = id_of(files_form)
    files, chunks = _opened(files_form, key, "manifest"), _opened(chunks_form, key, "chunk manifest")
    if files.chunk_bytes is not None or chunks.chunk_bytes is None:
        raise _refuted("it is in the wrong form")
    require_safe(files.digests)
    _, at, named = chunks.name.rpartition("@")
    if at and named != checkpoint_id:
        raise _refuted(f"its chunks are of the checkpoint {named[:ID_CHARACTERS]!a}")
    spans = _spans(chunks)
    if spans.keys() != files.digests.keys():
        raise _refuted("its two forms name different files")
    found = {path: File(path, sha256, _contiguous(path, spans[path], chunks)) for path, sha256 in files.digests.items()}
    for file in found.values():
        if len(file.chunks) == 1 and file.chunks[0].sha256 != file.sha256:
            raise _refuted(f"its two forms have different hashes of {file.path}")
    return Manifest(checkpoint_id, found, bool(at))


def require_safe(paths: Iterable[str]) -> None:
    """Raise Refuted for a path that could lead out of a folder, or to two files that are one on some disks."""
    seen: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if not all(_PART.fullmatch(part) and not part.startswith(".") and not part.endswith(".") for part in parts):
            raise _refuted(f"it has a file whose path is not safe: {path[:200]!a}")
        if any(_DEVICE.fullmatch(part) for part in parts) or path.casefold() in seen:
            raise _refuted(f"it has a file that some disks cannot hold together with the others: {path[:200]!a}")
        seen.add(path.casefold())


def _opened(content: bytes, key: ec.EllipticCurvePublicKey, what: str) -> Bundle:
    try:
        return bundle.opened(content, key)
    except Malformed as error:
        raise Refuted("malformed_manifest", f"The {what} is malformed: {error}.") from None
    except NotSigned:
        raise Refuted(
            "manifest_not_signed",
            f"The {what} is not signed by the lab's key ({bundle.fingerprint(key)[:16]}…).",
            "Nothing was downloaded. Ask the lab for an explanation, and do not use this server to ask.",
        ) from None


def _spans(chunks: Bundle) -> dict[str, list[Chunk]]:
    found: dict[str, list[Chunk]] = {}
    for name, sha256 in chunks.digests.items():
        span = _SPAN.fullmatch(name)
        if span is None:
            raise _refuted("it has an entry that is no range of a file")
        found.setdefault(span[1], []).append(Chunk(int(span[2]), int(span[3]), sha256))
    return found


def _contiguous(path: str, found: list[Chunk], chunks: Bundle) -> tuple[Chunk, ...]:
    """The chunks in order, which follow each other from the first byte and are all full but the last."""
    ordered, position = sorted(found, key=lambda chunk: chunk.begin), 0
    for chunk in ordered:
        full = chunk.size_bytes == chunks.chunk_bytes
        if chunk.begin != position or not (full or (chunk is ordered[-1] and chunk.size_bytes > 0)):
            raise _refuted(f"its chunks of {path} leave a gap or overlap")
        position = chunk.end
    if ordered[-1].size_bytes > (chunks.chunk_bytes or 0):
        raise _refuted(f"its last chunk of {path} is too long")
    return tuple(ordered)


def _refuted(why: str) -> Refuted:
    return Refuted("malformed_manifest", f"The signed manifest contradicts itself: {why}.")
