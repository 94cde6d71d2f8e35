"""What may be attached: each type by its own content; pages, programs, archives and two things in one are refused."""

import io
import zipfile

import pytest

from server.domain.release import attachment_contents
from server.domain.release.attachment_contents import NAME, NotAttachable
from tests.attached import png

PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.html", HTML)
    return made.getvalue()


TAKEN = {
    "a.txt": b"Plain text\twith a tab.\r\n", "a.md": b"# A title\n\nIt says `<script>` where it must.\n",
    "a.csv": b"a,b\n1,2\n", "a.json": b'{"text": "<b>bold</b>"}', "a.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "a.pdf": PDF, "a.png": png(), "a.jpg": JPEG, "A-1_b.JPEG".lower(): JPEG, "leer.txt": "Straße\n".encode(),
}  # fmt: skip
REFUSED = {
    "a page": ("a.txt", HTML), "a picture of markup": ("a.png", SVG), "markup as text": ("a.txt", b"x " + SVG),
    "a page as Markdown": ("a.md", b"\n" + HTML), "a picture with a page behind it": ("a.png", png() + HTML),
    "a picture with a page in it": ("a.png", png()[:-12] + b"\x00\x00\x00\x28tEXt" + HTML + png()[-12:]),
    "a picture with an archive behind it": ("a.jpg", JPEG + archive()), "a PDF with an archive in it": (
        "a.pdf", PDF[:-7] + archive() + b"\n%%EOF\n"),
    "a page with a PDF behind it": ("a.pdf", HTML + PDF),
    "a PDF with a page in it": ("a.pdf", PDF[:-7] + HTML + b"%%EOF"),
    "an archive as a table": ("a.csv", archive()), "a script": ("a.txt", b"#!/bin/sh\nrm -rf /\n"),
    "a program": ("a.txt", b"MZ plain"), "no JSON": ("a.json", b"{"), "no JSON in a line": ("a.jsonl", b"{}\nx\n"),
    "deep JSON": ("a.json", b"[" * 100_000), "no text": ("a.txt", b"\xff\xfea\x00"), "a NUL": ("a.txt", b"a\x00b"),
    "another picture": ("a.png", JPEG), "half a picture": ("a.png", png()[:-4]),
    "two pictures": ("a.png", png() + png()),
    "a terminal's colors": ("a.txt", b"\x1b[31mred"), "nothing of a picture": ("a.jpg", b""),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_what_its_name_says_is_taken(name: str) -> None:
    """Words that only look like markup are no markup in Markdown and JSON."""
    assert NAME.fullmatch(name)
    attachment_contents.require(name, TAKEN[name])


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_something_else_as_well_is_refused(what: str) -> None:
    """With words for its reporter."""
    name, content = REFUSED[what]
    with pytest.raises(NotAttachable):
        attachment_contents.require(name, content)


@pytest.mark.parametrize(
    "name",
    ["a.zip", "a.svg", "a.html", "a.exe", "a", ".txt", "a.txt.", "../a.txt", "a/b.txt", "a b.txt", "a\n.txt", "ä.txt",
     "a.txt\n", "x" * 97 + ".txt", "a.svg\x00.txt", "-a.txt"],
)  # fmt: skip
def test_a_name_is_plain_and_ends_in_a_known_type(name: str) -> None:
    """It stands in a header and on other people's disks."""
    assert not NAME.fullmatch(name)
