"""The manifest: nothing is believed but what the key signed, and both forms agree on."""

import json
from typing import Any

import pytest

from client.tests import signed_lists
from client.tests.signed_lists import CONTENTS, OTHER_KEY, chunks_form, files_form, sha256, spans
from weightgate.download import bundle, manifest
from weightgate.verdicts import Malformed, Refuted

KEY = bundle.load_key(signed_lists.pem())


def read(files: bytes, chunks: bytes) -> manifest.Manifest:
    return manifest.read(files, chunks, KEY)


def test_both_forms_together_say_what_each_file_is() -> None:
    """Paths, sizes, hashes and contiguous chunks; and the checkpoint's id is the beginning of the files form's hash."""
    files = files_form()
    found = read(files, chunks_form(name=f"gpt-2/774M@{sha256(files)[:40]}"))
    assert (found.checkpoint_id, found.bound) == (sha256(files)[:40], True)
    assert {path: (file.size_bytes, file.sha256) for path, file in found.files.items()} == {
        path: (len(content), sha256(content)) for path, content in CONTENTS.items()
    }
    assert [(chunk.begin, chunk.end) for chunk in found.files["deep/er/b.bin"].chunks] == [(0, 10), (10, 20), (20, 23)]


def test_chunks_that_name_no_checkpoint_prove_no_whole() -> None:
    """They could be another checkpoint's: the client then hashes the file, too."""
    assert not read(files_form(), chunks_form()).bound


def test_chunks_of_another_checkpoint_are_refuted() -> None:
    """Signed by the same key, and about files of the same names and sizes."""
    with pytest.raises(Refuted, match="chunks are of the checkpoint"):
        read(files_form(), chunks_form(name=f"gpt-2/774M@{'0' * 40}"))


@pytest.mark.parametrize("which", ["files", "chunks"])
def test_another_key_is_refuted(which: str) -> None:
    """Whoever has the server, but not the lab's key, can sign nothing."""
    files, chunks = files_form(), chunks_form()
    with pytest.raises(Refuted, match="not signed by the lab's key"):
        read(
            files_form(key=OTHER_KEY) if which == "files" else files,
            chunks_form(key=OTHER_KEY) if which != "files" else chunks,
        )


@pytest.mark.parametrize("field", ["payload", "sig"])
def test_a_changed_envelope_is_refuted(field: str) -> None:
    """One bit of what was signed, or of the signature."""
    changed = json.loads(files_form())
    envelope = changed["dsseEnvelope"]
    place = envelope if field == "payload" else envelope["signatures"][0]
    place[field] = ("B" if place[field][40] == "A" else "A").join((place[field][:40], place[field][41:]))
    with pytest.raises(Refuted):
        read(json.dumps(changed).encode(), chunks_form())


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b'{"dsseEnvelope": {}}', b'{"dsseEnvelope": 7}', b'{"a": 1, "a": 1}', b"[" * 100_000],
)
def test_what_is_no_bundle_is_malformed(content: bytes) -> None:
    """Whatever it is, it ends in a sentence."""
    with pytest.raises(Malformed):
        bundle.opened(content, KEY)


@pytest.mark.parametrize(
    "path",
    [
        "../evil", "a/../../evil", "/etc/passwd", "a//b", "a/./b", "", ".", "..", "a/", "C:\\evil", "a\\b", "C:evil",
        "a\0b", "a\nb", ".hidden", ".weightgate/checkpoint.json", "a/.ssh/keys", "CON", "aux.txt", "trailing.",
        "a b", "é", "x" * 300,
    ],
)  # fmt: skip
def test_a_path_that_could_leave_the_folder_is_refuted(path: str) -> None:
    """Even when the lab signed it: nobody's disk is written outside the folder."""
    with pytest.raises(Refuted):
        read(files_form({path: sha256(b"x")}), chunks_form({f"{path}:0:1": sha256(b"x")}))


def test_names_that_are_one_on_some_disks_are_refuted() -> None:
    """One would overwrite the other."""
    twins = {"Model.bin": sha256(b"x"), "model.bin": sha256(b"y")}
    with pytest.raises(Refuted):
        read(files_form(twins), chunks_form({f"{path}:0:1": digest for path, digest in twins.items()}))


def changed_spans(change: Any) -> dict[str, str]:
    listed = spans()
    change(listed)
    return listed


@pytest.mark.parametrize(
    "change",
    [
        lambda listed: listed.pop("deep/er/b.bin:10:20"),
        lambda listed: listed.pop("a.json:0:2"),
        lambda listed: listed.update({"other:0:2": "0" * 64}),
        lambda listed: listed.update({"deep/er/b.bin:23:24": "0" * 64}),
        lambda listed: listed.update({"deep/er/b.bin:5:15": "0" * 64}),
        lambda listed: listed.update({"a.json:0:2": "0" * 64}),
        lambda listed: listed.update({"a.json:0:02": listed.pop("a.json:0:2")}),
        lambda listed: listed.update({"a.json": listed.pop("a.json:0:2")}),
        lambda listed: listed.update({"a.json:0:99": listed.pop("a.json:0:2")}),
        lambda listed: listed.update({"a.json:0:2": "A" * 64}),
    ],
)  # fmt: skip
def test_chunks_that_do_not_make_the_files_are_refuted(change: Any) -> None:
    """A gap, an overlap, another file, a chunk too long, a hash that both forms have differently."""
    with pytest.raises(Refuted):
        read(files_form(), chunks_form(changed_spans(change)))


def test_one_form_is_not_taken_for_the_other() -> None:
    """Each has its place."""
    for files, chunks in ((chunks_form(), chunks_form()), (files_form(), files_form()), (chunks_form(), files_form())):
        with pytest.raises(Refuted):
            read(files, chunks)


@pytest.mark.parametrize("changed", [{"predicateType": "https://slsa.dev/provenance/v1"}, {"subject": []}])
def test_a_statement_about_something_else_is_refuted(changed: dict[str, Any]) -> None:
    """Signed by the lab's key as well, for another purpose."""
    with pytest.raises(Refuted):
        read(files_form(**changed), chunks_form())


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", b"\xff" * 100])
def test_what_is_no_key_is_malformed(content: bytes) -> None:
    """A key of another kind, too."""
    with pytest.raises(Malformed):
        bundle.load_key(content)
