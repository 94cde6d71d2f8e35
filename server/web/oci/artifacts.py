"""Artifacts: a checkpoint as container tools see it. Only its manifest and config are made; the blobs are its files.

The digest of a blob is the SHA-256 that the signed manifest has for the file, so no object moves. Both documents follow
from the checkpoint alone, byte for byte, so that their digests stay the same for ever. Their form is that of ModelPack
(CNCF model-spec 0.0.7: manifest, config and media types; OCI image-spec 1.1 for the rest).
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import orjson

from server.domain.publish.checkpoints import FileList

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
_LAYER_TYPE = "application/vnd.cncf.model.{kind}.v1.raw"
_DOCUMENTS = {".md", ".txt", ".cff", ""}
_WEIGHTS = {".safetensors", ".gguf"}
_WEIGHTS_STEM = "model.ckpt."  # of the original GPT-2 sets
_NAMED_TXT = {"merges.txt", "vocab.txt"}  # what tokenizers read


@dataclass(frozen=True, slots=True)
class Document:
    """What is made of a checkpoint, with its digest as the protocol spells it."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checkpoint's two documents."""

    manifest: Document
    config: Document


def of(listed: FileList) -> Artifact:
    """Make the documents of a checkpoint."""
    files = listed.files.values()
    config = Document(_json(_config(listed)), CONFIG_TYPE)
    layers = [_described(_layer_type(file.path), f"sha256:{file.sha256}", file.size_bytes, file.path) for file in files]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": _described(CONFIG_TYPE, config.digest, len(config.content)),
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.created": _moment(listed.created_at),
            "org.opencontainers.image.version": listed.checkpoint_id,
        },
    }
    return Artifact(Document(_json(manifest), MANIFEST_TYPE), config)


def _config(listed: FileList) -> dict[str, Any]:
    """Without the stage's name, which can change while the checkpoint stays."""
    formats = {suffix[1:] for path in listed.files if (suffix := PurePosixPath(path).suffix.lower()) in _WEIGHTS}
    return {
        "descriptor": {"createdAt": _moment(listed.created_at), "version": listed.checkpoint_id},
        "config": {"format": formats.pop()} if len(formats) == 1 else {},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{file.sha256}" for file in listed.files.values()]},
    }


def _described(media_type: str, digest: str, size_bytes: int, path: str | None = None) -> dict[str, Any]:
    descriptor: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": size_bytes}
    if path is not None:
        descriptor["annotations"] = {"org.opencontainers.image.title": path, "org.cncf.model.filepath": path}
    return descriptor


def _layer_type(path: str) -> str:
    name = PurePosixPath(path).name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _WEIGHTS or name.startswith(_WEIGHTS_STEM):
        kind = "weight"
    elif suffix in _DOCUMENTS and name.lower() not in _NAMED_TXT and name != "checkpoint":
        kind = "doc"
    else:
        kind = "weight.config"
    return _LAYER_TYPE.format(kind=kind)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
