"""A download as an input file for `aria2c -i -`: each file's URL, the path to save it under, and its SHA-256."""

from collections.abc import Iterable

from server.domain.publish.checkpoints import File

MIME_TYPE = "text/x-aria2"
# What is there already is hashed, and kept or completed; no second file is saved beside it, as x.1.
_OPTIONS = ("auto-file-renaming=false", "check-integrity=true", "continue=true")


def render(files: Iterable[tuple[File, str]]) -> str:
    """Return the input file. files: each with its URL. Paths were checked when they were published."""
    return "".join(
        "\n  ".join((url, f"out={file.path}", f"checksum=sha-256={file.sha256}", *_OPTIONS)) + "\n"
        for file, url in files
    )
