"""What lies in a file's place when fetching it went wrong: a pointer to it, or the page that told of the error."""

from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import SourceFile

_START_BYTES = 512
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_AGAIN = "fetch the file itself"


def require_no_stand_in(file: SourceFile) -> None:
    """Raise NotPublishable when the content is a Git LFS pointer, a web page or a zip archive, whatever the name."""
    with file.open_unchanged() as stream:
        start = stream.read(_START_BYTES)
    page = start.removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    if start.startswith((b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")):
        raise NotPublishable(file.path, "is a Git LFS pointer", "run git lfs pull")
    if page.startswith((b"<!doctype html", b"<html")):
        raise NotPublishable(file.path, "is an HTML page", _AGAIN)
    if page.startswith((b"<?xml", b"<error>")):
        raise NotPublishable(file.path, "is an XML page", _AGAIN)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        raise NotPublishable(
            file.path, "is a zip archive", "unpack it, or convert it to safetensors if PyTorch saved it"
        )
