"""Manifests: the same bytes by tag, ID and digest; nothing is issued."""

import hashlib

from server.web.oci import artifacts
from tests.web.oci.registry import REPOSITORY, manifest
from tests.world import World


def test_a_manifest_is_found_by_tag_id_and_digest(world: World) -> None:
    """The same bytes under each name, and HEAD says as much; nothing is issued."""
    entries = len(world.entries())
    first = manifest(world)
    assert first.mimetype == artifacts.MANIFEST_TYPE
    digest = first.headers["Docker-Content-Digest"]
    assert digest == f"sha256:{hashlib.sha256(first.data).hexdigest()}"
    checkpoint_id = first.get_json()["annotations"]["org.opencontainers.image.version"]
    for reference in ("latest", checkpoint_id, digest):
        assert manifest(world, reference).data == first.data
    look = world.ask("HEAD", f"{REPOSITORY}/manifests/{digest}")
    assert (look.status_code, look.content_length) == (200, len(first.data))
    assert len(world.entries()) == entries


def test_an_older_checkpoint_is_found_by_its_digest(sqlite_world: World) -> None:
    """Each of a stage's checkpoints, the config too; and of another stage none."""
    tags = sqlite_world.ask("GET", "/v2/mini-gpt/base/tags/list").get_json()["tags"]
    assert tags == [*sorted(tags[:-1]), "main"]
    assert len(tags) == 3
    found = [manifest(sqlite_world, tag, "/v2/mini-gpt/base") for tag in tags[:-1]]
    assert len({one.data for one in found}) == 2
    for one in found:
        digest, config = one.headers["Docker-Content-Digest"], one.get_json()["config"]
        assert manifest(sqlite_world, digest, "/v2/mini-gpt/base").data == one.data
        content = sqlite_world.ask("GET", f"/v2/mini-gpt/base/blobs/{config['digest']}")
        assert f"sha256:{hashlib.sha256(content.data).hexdigest()}" == config["digest"]
        assert (content.mimetype, len(content.data)) == (artifacts.CONFIG_TYPE, config["size"])
        assert sqlite_world.ask("GET", f"{REPOSITORY}/manifests/{digest}").status_code == 404
        assert sqlite_world.ask("GET", f"{REPOSITORY}/blobs/{config['digest']}").status_code == 404
