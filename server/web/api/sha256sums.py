"""A checkpoint's hashes as `sha256sum --check` reads them."""

from collections.abc import Iterable

from server.domain.publish.checkpoints import File

MIME_TYPE = "text/plain"


def render(files: Iterable[File]) -> str:
    """Return a line a file. Paths need no escaping: they were checked when they were published."""
    return "".join(f"{file.sha256}  {file.path}\n" for file in files)
