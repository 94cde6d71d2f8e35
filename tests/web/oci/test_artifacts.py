"""Artifacts: the two documents that are made of a checkpoint, field by field, and the same for ever."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from server.domain.publish.checkpoints import File, FileList
from server.log import canonical
from server.storage.signing import StoredObject
from server.web.oci import artifacts

WEIGHT, CONFIG, DOCUMENT = (f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc"))


def listed(*paths: str) -> FileList:
    files = {
        path: File(path, size, f"{size:064x}", StoredObject(path), canonical.encoded({}))
        for size, path in enumerate(paths, start=1)
    }
    return FileList(7, "ab" * 20, datetime(2019, 8, 20, 16, 0, 0, 999_999, UTC), "A note", files)


def test_a_manifest_lists_the_files_under_their_own_hashes() -> None:
    """By hand, from the specifications; the config's digest is that of the config."""
    artifact = artifacts.of(listed("config.json", "weights/model.safetensors"))
    config = hashlib.sha256(artifact.config.content).hexdigest()
    assert json.loads(artifact.manifest.content) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.cncf.model.config.v1+json",
            "digest": f"sha256:{config}",
            "size": len(artifact.config.content),
        },
        "layers": [
            {
                "mediaType": CONFIG, "digest": f"sha256:{1:064x}", "size": 1,
                "annotations": {
                    "org.opencontainers.image.title": "config.json", "org.cncf.model.filepath": "config.json",
                },
            },
            {
                "mediaType": WEIGHT, "digest": f"sha256:{2:064x}", "size": 2,
                "annotations": {
                    "org.opencontainers.image.title": "weights/model.safetensors",
                    "org.cncf.model.filepath": "weights/model.safetensors",
                },
            },
        ],
        "annotations": {
            "org.opencontainers.image.created": "2019-08-20T16:00:00Z",
            "org.opencontainers.image.version": "ab" * 20,
        },
    }  # fmt: skip
    assert json.loads(artifact.config.content) == {
        "descriptor": {"createdAt": "2019-08-20T16:00:00Z", "version": "ab" * 20},
        "config": {"format": "safetensors"},
        "modelfs": {"type": "layers", "diffIds": [f"sha256:{1:064x}", f"sha256:{2:064x}"]},
    }


def test_the_digests_stay_as_they_are() -> None:
    """Somebody has pinned them: a change of one letter in either document would break every pinned pull."""
    artifact = artifacts.of(listed("config.json", "model.safetensors"))
    assert artifact.manifest.digest == "sha256:b6526e7addce2d8f91c6f17f20c83181a5f721b7fa44befb06fee38827f11d92"
    assert artifact.config.digest == "sha256:dd18216cf3f6257a8f6e8820d85446ef7944503913effd1163a88c94d688215b"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model.safetensors", WEIGHT), ("a/b/MODEL.GGUF", WEIGHT), ("model.ckpt.data-00000-of-00001", WEIGHT),
        ("model.ckpt.index", WEIGHT), ("config.json", CONFIG), ("vocab.bpe", CONFIG), ("merges.txt", CONFIG),
        ("tokenizer.model", CONFIG), ("checkpoint", CONFIG), ("chat_template.jinja", CONFIG), ("README.md", DOCUMENT),
        ("LICENSE", DOCUMENT), ("docs/NOTICE.txt", DOCUMENT),
    ],
)  # fmt: skip
def test_each_file_has_the_type_of_what_it_is(path: str, kind: str) -> None:
    assert json.loads(artifacts.of(listed(path)).manifest.content)["layers"][0]["mediaType"] == kind


def test_files_of_two_formats_have_none() -> None:
    """Rather than a wrong one."""
    config = json.loads(artifacts.of(listed("a.gguf", "b.safetensors")).config.content)
    assert config["config"] == {}
