"""A manifest holds the hashes that were computed, and the public tool of the format confirms it."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from hypothesis import given, settings
from hypothesis import strategies as st
from model_signing import hashing as library_hashing
from model_signing import signing as library_signing
from model_signing import verifying as library_verifying

from server.domain.publish import manifests
from server.domain.publish.faults import Faults
from server.domain.publish.hashing import FileHashes, hash_files
from server.domain.publish.manifests import ManifestError
from server.domain.publish.source_files import walk
from server.storage import keys

CHUNK = 1000
CONTENTS = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 20,
    "onnx.d/b.txt": b"b" * CHUNK,
    "onnx/a.txt": b"a" * (CHUNK + 1),
    "onnx/deep/er/a.txt": b"a",
}


class Signed:
    """A folder, its key pair, and what was signed."""

    def __init__(self, folder: Path) -> None:
        self.model, self.private, self.public = folder / "774M", folder / "key.pem", folder / "key.pub"
        for path, content in CONTENTS.items():
            (self.model / path).parent.mkdir(parents=True, exist_ok=True)
            (self.model / path).write_bytes(content)
        keys.write_manifest_key(self.private, self.public)
        self.hashes = hash_files(walk(self.model, Faults()).files, chunk_bytes=CHUNK)
        self.manifest = manifests.sign("774M", self.hashes, self.private)
        self.files_form, self.chunks_form = folder / "manifest.json", folder / "chunks.json"
        self.files_form.write_bytes(self.manifest.files_form)
        self.chunks_form.write_bytes(self.manifest.chunks_form)

    def library_hashing(self) -> dict[str, Any]:
        """Configure the library to read the folder itself, and to leave nothing out."""
        files, chunks = library_hashing.Config(), library_hashing.Config()  # type: ignore[no-untyped-call]
        files.use_file_serialization().set_ignored_paths(paths=(), ignore_git_paths=False)
        chunks.use_shard_serialization(shard_size=CHUNK).set_ignored_paths(paths=(), ignore_git_paths=False)
        return {"files": files, "chunks": chunks}

    def verify(self, form: str) -> None:
        """Check through the library's Python API. Raises what it raises."""
        verifier = library_verifying.Config()  # type: ignore[no-untyped-call]
        verifier.use_elliptic_key_verifier(public_key=self.public).set_hashing_config(self.library_hashing()[form])
        verifier.verify(self.model, self.files_form if form == "files" else self.chunks_form)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def payload(bundle: bytes) -> bytes:
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


def flip_a_byte(model: Path) -> None:
    with (model / "model.safetensors").open("r+b") as stream:
        stream.seek(4321)
        stream.write(b"\xee")


def add_a_file(model: Path) -> None:
    (model / "added.txt").write_bytes(b"new")


def remove_a_file(model: Path) -> None:
    (model / "config.json").unlink()


def rename_a_file(model: Path) -> None:
    (model / "config.json").rename(model / "configs.json")


CHANGES = [flip_a_byte, add_a_file, remove_a_file, rename_a_file]


def run_public_tool(signed: Signed) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed.model)]
    command += ["--signature", str(signed.files_form), "--public_key", str(signed.public)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_public_tool_confirms_the_files_form(signed: Signed) -> None:
    done = run_public_tool(signed)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "Verification succeeded", "")


@pytest.mark.parametrize("change", CHANGES)
def test_the_public_tool_refutes_a_changed_folder(signed: Signed, change: Callable[[Path], None]) -> None:
    change(signed.model)
    done = run_public_tool(signed)
    assert done.returncode == 1
    assert "succeeded" not in done.stdout + done.stderr
    assert "Verification failed with error: Signature mismatch" in done.stderr


def test_the_public_tool_refutes_another_key(signed: Signed, tmp_path: Path) -> None:
    signed.public = tmp_path / "other.pub"
    keys.write_manifest_key(tmp_path / "other.pem", signed.public)
    done = run_public_tool(signed)
    assert done.returncode == 1
    assert "Key mismatch" in done.stderr


@pytest.mark.parametrize("form", ["files", "chunks"])
def test_the_library_confirms_both_forms_by_reading_the_folder(signed: Signed, form: str) -> None:
    signed.verify(form)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", ["files", "chunks"])
def test_the_library_refutes_a_changed_folder(signed: Signed, form: str, change: Callable[[Path], None]) -> None:
    change(signed.model)
    with pytest.raises(ValueError, match="Signature mismatch"):
        signed.verify(form)


@pytest.mark.parametrize("form", ["files", "chunks"])
def test_what_is_signed_is_byte_for_byte_what_the_library_signs(signed: Signed, tmp_path: Path, form: str) -> None:
    """We hand it our hashes instead of letting it read everything again; nobody can tell from the result."""
    signer = library_signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=signed.private).set_hashing_config(signed.library_hashing()[form])
    signer.sign(signed.model, tmp_path / "theirs.json")
    ours = signed.manifest.files_form if form == "files" else signed.manifest.chunks_form
    theirs = payload((tmp_path / "theirs.json").read_bytes())
    # But for the name, which is the folder's with them, and of which ours says more in the chunks form.
    assert theirs == payload(ours).replace(f"@{signed.manifest.checkpoint_id}".encode(), b"")


def test_the_chunks_form_names_its_checkpoint(signed: Signed) -> None:
    """Its hashes are bound to the files form by nothing else; one of another checkpoint cannot stand in for it."""
    names = [
        json.loads(payload(form))["subject"][0]["name"]
        for form in (signed.manifest.files_form, signed.manifest.chunks_form)
    ]
    assert names == ["774M", f"774M@{signed.manifest.checkpoint_id}"]


def test_a_manifest_gives_back_what_was_computed(signed: Signed) -> None:
    assert manifests.digests_in(signed.manifest.files_form) == {p: h.sha256 for p, h in signed.hashes.items()}
    chunks = manifests.chunks_in(signed.manifest.chunks_form)
    assert len(chunks) == 1 + 6 + 1 + 2 + 1
    assert chunks["model.safetensors:5000:5120"] == signed.hashes["model.safetensors"].chunk_sha256s[5]


def test_signing_again_gives_another_id_for_the_same_content(signed: Signed) -> None:
    """So the manifest is kept from the first time; a second run is recognised by its content."""
    again = manifests.sign("774M", signed.hashes, signed.private)
    assert again.checkpoint_id != signed.manifest.checkpoint_id
    assert payload(again.files_form) == payload(signed.manifest.files_form)
    assert len(again.checkpoint_id) == 40
    assert manifests.checkpoint_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a3"


def test_the_name_may_hold_a_stage_and_no_machine_path(signed: Signed) -> None:
    bundle = manifests.sign("gpt-2/774M", signed.hashes, signed.private).files_form
    assert json.loads(payload(bundle))["subject"][0]["name"] == "gpt-2/774M"
    signed.files_form.write_bytes(bundle)
    signed.verify("files")


def test_a_key_that_others_may_read_signs_nothing(signed: Signed) -> None:
    signed.private.chmod(0o640)
    with pytest.raises(keys.KeyFileError, match="chmod 600"):
        manifests.sign("774M", signed.hashes, signed.private)


OPEN = serialization.NoEncryption()
WRONG_KEYS: dict[str, tuple[PrivateKeyTypes, serialization.KeySerializationEncryption]] = {
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), OPEN),
    "P-384": (ec.generate_private_key(ec.SECP384R1()), OPEN),
    "with a password": (ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"password")),
}


@pytest.mark.parametrize("kind", [*WRONG_KEYS, "no key", "public", "absent"])
def test_only_an_ec_p256_key_signs(signed: Signed, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrong.pem"
    if kind in WRONG_KEYS:
        private, lock = WRONG_KEYS[kind]
        form = serialization.PrivateFormat.PKCS8
        keys.write_private(path, private.private_bytes(serialization.Encoding.PEM, form, lock))
    elif kind != "absent":
        keys.write_private(path, b"nothing" if kind == "no key" else signed.public.read_bytes())
    with pytest.raises(keys.KeyFileError, match="init") as refusal:
        manifests.sign("774M", signed.hashes, path)
    assert "PRIVATE KEY" not in str(refusal.value)


@pytest.mark.parametrize(
    "files", [{}, {"a": FileHashes(1, "a" * 64, 4, ("a" * 64,)), "b": FileHashes(1, "a" * 64, 5, ())}]
)
def test_there_must_be_files_in_chunks_of_one_size(signed: Signed, files: dict[str, FileHashes]) -> None:
    with pytest.raises(ManifestError):
        manifests.sign("774M", files, signed.private)


def rebuilt(bundle: bytes, change: Callable[[Any], object]) -> bytes:
    """Change the signed statement, leaving the signature as it was."""
    outer, statement = json.loads(bundle), json.loads(payload(bundle))
    change(statement["predicate"])
    outer["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(outer).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda predicate: predicate["serialization"].update(method="shards"),
        lambda predicate: predicate["serialization"].update(ignore_paths=["config.json"]),
        lambda predicate: predicate["resources"].clear(),
        lambda predicate: predicate["resources"].append(predicate["resources"][0]),
        lambda predicate: predicate["resources"][0].update(algorithm="blake2b"),
        lambda predicate: predicate["resources"][0].update(digest="AB" * 32),
        lambda predicate: predicate["resources"][0].update(digest=None),
        lambda predicate: predicate["resources"][0].pop("name"),
        lambda predicate: predicate.update(resources=None),
    ],
)
def test_a_bundle_that_is_not_a_plain_list_of_files_is_not_read(
    signed: Signed, change: Callable[[Any], object]
) -> None:
    with pytest.raises(ManifestError):
        manifests.digests_in(rebuilt(signed.manifest.files_form, change))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"dsseEnvelope": {"payload": "!"}}', b"[" * 100_000])
def test_what_is_no_bundle_is_not_read(content: bytes) -> None:
    with pytest.raises(ManifestError):
        manifests.digests_in(content)


def test_one_form_is_not_taken_for_the_other(signed: Signed) -> None:
    with pytest.raises(ManifestError):
        manifests.digests_in(signed.manifest.chunks_form)
    with pytest.raises(ManifestError):
        manifests.chunks_in(signed.manifest.files_form)


DIGESTS = st.dictionaries(
    st.text('a",:[]\\é', max_size=4), st.sampled_from(["0" * 64, "1" * 64, "0" * 63 + "1"]), max_size=3
)


@settings(max_examples=300, deadline=None, database=None)
@given(first=DIGESTS, second=DIGESTS)
def test_a_content_digest_is_equal_exactly_for_equal_content(first: dict[str, str], second: dict[str, str]) -> None:
    assert (manifests.content_digest(first) == manifests.content_digest(second)) == (first == second)
    assert manifests.content_digest(first) == manifests.content_digest(dict(reversed(first.items())))


def test_a_content_digest_stays_the_same_in_every_version() -> None:
    """Computed apart from the code; stored checkpoints are found by it."""
    assert manifests.content_digest({"b": "1" * 64, "a": "0" * 64}) == (
        "39a744004329d28f142a19ac3322437ac9f187cd0570a63b18e0f479b0f9a378"
    )


@pytest.mark.parametrize("digest", ["", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_content_digest_takes_digests_only(digest: str) -> None:
    with pytest.raises(ValueError, match="64 lowercase hex"):
        manifests.content_digest({"a": digest})
