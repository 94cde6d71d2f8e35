"""Manifests: the signed list of a checkpoint's files, as the OpenSSF Model Signing library 1.1.1 writes and checks it.

A checkpoint has two: the files form is its manifest, and names the checkpoint; the chunks form lets a client check each
part of a file as it arrives. Both are signed by the same EC P-256 key, over hashes that were computed once: the library
is handed ours instead of reading everything twice more. Whatever it signs is then read back and compared, and the
hashes are the same ones that the object store's are compared with.
"""

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.domain.publish.hashing import FileHashes
from server.storage import keys

CHECKPOINT_ID_CHARACTERS = 40

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ManifestError(ValueError):
    """A manifest is not what it should be: not readable, or not about the files at hand."""


@dataclass(frozen=True)
class Manifest:
    """The two signed bundles of a checkpoint. Signing again gives other bytes, so they are kept from the first time."""

    files_form: bytes
    chunks_form: bytes

    @property
    def checkpoint_id(self) -> str:
        return checkpoint_id(self.files_form)


def sign(name: str, files: Mapping[str, FileHashes], private_key_file: Path) -> Manifest:
    """Sign both forms for the files, by path.

    name: what the files form calls the model; the chunks form calls it `name@id`, with the checkpoint's id. The public
    tool reads neither; our client trusts chunks without a hash of the whole file where the id is the right one.
    Raises keys.KeyFileError when the key file is open to others or holds no EC P-256 key, and ManifestError when what
    was signed is not what was given.
    """
    chunk_bytes = {file.chunk_bytes for file in files.values()}
    if len(chunk_bytes) != 1:
        raise ManifestError("there must be files to sign, all hashed in chunks of the same size")
    signer = _Signer(private_key_file, keys.public_pem(keys.read_manifest_key(private_key_file)))
    digests, chunks = {path: file.sha256 for path, file in files.items()}, _chunks(files)
    files_form = signer.sign_files(name, digests)
    # The two forms share no hash: without the ID in it, another checkpoint's chunks could be passed off as this one's.
    signed = Manifest(files_form, signer.sign_chunks(f"{name}@{checkpoint_id(files_form)}", chunks, chunk_bytes.pop()))
    if digests_in(signed.files_form) != digests or chunks_in(signed.chunks_form) != chunks:
        raise ManifestError("the signed content differs from the computed content")
    return signed


def checkpoint_id(manifest: bytes) -> str:
    """Return the id that follows from the files form: the first 40 characters of its SHA-256."""
    return hashlib.sha256(manifest).hexdigest()[:CHECKPOINT_ID_CHARACTERS]


def digests_in(manifest: bytes) -> dict[str, str]:
    """Return path → SHA-256 from the files form, without checking its signature. Raises ManifestError."""
    return _resources(manifest, "files")


def chunks_in(manifest: bytes) -> dict[str, str]:
    """Return `path:begin:end` → SHA-256 from the chunks form, without checking its signature. Raises ManifestError."""
    return _resources(manifest, "shards")


def key_hint(manifest: bytes) -> str:
    """Return what the bundle says of its key: the SHA-256 of the public half in PEM, unproven. Raises ManifestError."""
    try:
        return str(json.loads(manifest)["verificationMaterial"]["publicKey"]["hint"])
    except (ValueError, KeyError, TypeError):
        raise ManifestError("this is not a model-signing bundle of the expected form") from None


def content_digest(digests: Mapping[str, str]) -> str:
    """Return one hash for a set of files, path → SHA-256: equal exactly when paths and contents are equal.

    It recognises a folder that is published a second time. No signature is in it, so it is the same on every machine.
    """
    if not all(_SHA256.fullmatch(digest) for digest in digests.values()):
        raise ValueError("a digest is not 64 lowercase hex characters")
    canonical = json.dumps(sorted(digests.items()), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(b"weightgate content v1\n" + canonical.encode("ascii")).hexdigest()


def _chunks(files: Mapping[str, FileHashes]) -> dict[str, str]:
    """Name every chunk as the library does: path, begin, end."""
    return {
        f"{path}:{begin}:{min(begin + file.chunk_bytes, file.size_bytes)}": sha256
        for path, file in files.items()
        for begin, sha256 in zip(range(0, file.size_bytes, file.chunk_bytes), file.chunk_sha256s, strict=True)
    }


@dataclass(frozen=True)
class _Signer:
    """The library, given our hashes instead of a folder to read."""

    private_key: Path
    public_key: bytes

    def sign_files(self, name: str, digests: Mapping[str, str]) -> bytes:
        return self._sign(name, {"method": "files"}, "sha256", digests)

    def sign_chunks(self, name: str, chunks: Mapping[str, str], chunk_bytes: int) -> bytes:
        form = {"method": "shards", "shard_size": chunk_bytes}
        return self._sign(name, form, f"sha256-sharded-{chunk_bytes}", chunks)

    def _sign(self, name: str, form: dict[str, Any], algorithm: str, digests: Mapping[str, str]) -> bytes:
        """Return a bundle over these digests, after the library's own verifier has accepted it."""
        # Imported here: it takes a second, and only a publisher needs it.
        from model_signing import hashing, manifest, signing, verifying
        from model_signing._hashing.hashing import Digest

        kind = manifest.SerializationType.from_args({**form, "hash_type": "sha256", "allow_symlinks": False})
        items = [kind.new_item(key, Digest(algorithm, bytes.fromhex(sha256))) for key, sha256 in digests.items()]
        given = manifest.Manifest(name, items, kind)

        class Given(hashing.Config):
            """Hands over the hashes that are there. Nothing is read, so nothing can be ignored silently."""

            def hash(self, *_: object, **__: object) -> manifest.Manifest:
                return given

        hashes, folder = Given(), name  # type: ignore[no-untyped-call]  # the folder is never opened
        signer = signing.Config().set_hashing_config(hashes)  # type: ignore[no-untyped-call]
        verifier = verifying.Config().set_hashing_config(hashes)  # type: ignore[no-untyped-call]
        with tempfile.TemporaryDirectory() as scratch:
            bundle, public = Path(scratch, "bundle"), Path(scratch, "public.pem")
            public.write_bytes(self.public_key)
            signer.use_elliptic_key_signer(private_key=self.private_key).sign(folder, bundle)
            verifier.use_elliptic_key_verifier(public_key=public).verify(folder, bundle)
            return bundle.read_bytes()


def _resources(manifest: bytes, method: str) -> dict[str, str]:
    try:
        statement = json.loads(base64.b64decode(json.loads(manifest)["dsseEnvelope"]["payload"], validate=True))
        predicate = statement["predicate"]
        form, resources = predicate["serialization"], predicate["resources"]
        # The library writes the size of a shard as a fraction: 67108864.0.
        algorithm = f"sha256-sharded-{int(form['shard_size'])}" if method == "shards" else "sha256"
        found = {entry["name"]: entry["digest"] for entry in resources if entry["algorithm"] == algorithm}
        sound = form["method"] == method and not form.get("ignore_paths") and 0 < len(resources) == len(found)
        sound = sound and all(isinstance(name, str) and _SHA256.fullmatch(value) for name, value in found.items())
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ManifestError("this is not a model-signing bundle of the expected form") from None
    if not sound:
        raise ManifestError(f"this is not a bundle over {method} with one SHA-256 each")
    return found
