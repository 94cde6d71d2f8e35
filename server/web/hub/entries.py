"""Entries: the files and folders of a checkpoint as a Git tree that keeps every file by LFS, under its SHA-256."""

import hashlib
from collections.abc import Iterable
from typing import Any

from server.domain.publish.checkpoints import File


def file_entry(file: File) -> dict[str, Any]:
    """One file in a tree."""
    pointer = _pointer(file)
    return {
        "type": "file",
        "path": file.path,
        "size": file.size_bytes,
        "oid": _git_id(b"blob", pointer),
        "lfs": {"oid": file.sha256, "size": file.size_bytes, "pointerSize": len(pointer)},
    }


def sibling(file: File) -> dict[str, Any]:
    """The same beside a model, where the client expects other names."""
    entry = file_entry(file)
    lfs = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": entry["lfs"]["pointerSize"]}
    return {"rfilename": file.path, "size": file.size_bytes, "blobId": entry["oid"], "lfs": lfs}


def tree(files: Iterable[File], folder: str, *, recursive: bool) -> dict[str, dict[str, Any]]:
    """What lies in a folder ("" for the root), by path in its order: files and folders, of all depths or right below.

    Empty where there is no such folder.
    """
    below = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        if not file.path.startswith(below):
            continue
        parts = file.path.removeprefix(below).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            path = below + "/".join(parts[:depth])
            found.setdefault(path, folder_entry(path))
        if recursive or len(parts) == 1:
            found[file.path] = file_entry(file)
    return dict(sorted(found.items()))


def folder_entry(path: str) -> dict[str, Any]:
    """One folder in a tree. The client wants an id and compares it with nothing: it says which folder it is."""
    return {"type": "directory", "path": path, "oid": _git_id(b"tree", path.encode()), "size": 0}


def _pointer(file: File) -> bytes:
    """The text that Git would keep in place of the file (git-lfs, docs/spec.md)."""
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{file.sha256}\nsize {file.size_bytes}\n".encode()


def _git_id(kind: bytes, content: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
