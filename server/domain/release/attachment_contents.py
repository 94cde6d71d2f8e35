"""What an attachment may hold: plain text, tables, PDF and pictures, each by its content and nothing else besides.

Never an archive, whose content nobody looks at; never SVG, HTML or programs. A file that is two things at once, such as
a picture with a page behind it, is refused: whoever saves it could be made to open the other one.
"""

import json
import re

from server.text import is_writable

SIZE_BYTES_AT_MOST = 50_000_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,94}\.(txt|md|csv|json|jsonl|pdf|png|jpg|jpeg)")
TYPES = "txt, md, csv, json, jsonl, pdf, png, jpg"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# What begins another kind of file inside one: pages, scripts, archives.
_MARKUP = re.compile(rb"<(?:!doctype|html|svg|script|iframe|body|\?php|\?xml)", re.IGNORECASE)
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c")
_PROGRAMS = ("#!", "MZ", "\x7fELF")


class NotAttachable(ValueError):
    """The text says why, in words that complete "The file was refused: …"."""


def require(name: str, content: bytes) -> None:
    """Raise NotAttachable unless the content is what the name's ending says, from its first to its last byte."""
    kind = name.rpartition(".")[2].lower()
    if kind in {"png", "jpg", "jpeg", "pdf"}:
        _require_binary(kind, content)
    else:
        _require_text(kind, content)


def _require_binary(kind: str, content: bytes) -> None:
    if kind == "png":
        is_whole = content.startswith(_PNG) and content.endswith(_PNG_END) and content.count(_PNG_END) == 1
    elif kind == "pdf":
        is_whole = content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    else:
        is_whole = content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9")
    if not is_whole:
        raise NotAttachable(f"it is no {kind}, or something stands before or behind it")
    if (found := _MARKUP.search(content)) is not None:
        raise NotAttachable(f"there is markup in it ({found[0].decode('ascii')})")
    # Four bytes come up by chance in what is compressed; an archive's end stands near the end of the file.
    if any(sign in content[-70_000:] for sign in _ARCHIVES[1:]) or (kind == "pdf" and _ARCHIVES[0] in content):
        raise NotAttachable("there is an archive in it")


def _require_text(kind: str, content: bytes) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise NotAttachable("it is not UTF-8 text") from None
    if text.startswith(_PROGRAMS):
        raise NotAttachable("it is a program")
    if not is_writable(text):
        raise NotAttachable("it contains control characters or others that cannot be seen")
    if kind != "md" and _MARKUP.search(content) and kind not in {"json", "jsonl"}:
        raise NotAttachable("there is markup in it")
    if kind == "md" and _MARKUP.match(content.lstrip()):
        raise NotAttachable("it is a page of HTML or XML")
    lines = [text] if kind == "json" else text.splitlines() if kind == "jsonl" else []
    try:
        for line in lines:
            json.loads(line)
    except (ValueError, RecursionError):
        raise NotAttachable(f"it is no {kind}") from None
