"""Blobs: HEAD tells the size; GET issues, once in the log."""

from tests.web.oci.registry import REPOSITORY, layer
from tests.world import World


def test_a_blob_is_issued_and_logged_first(world: World) -> None:
    """GET leads to the store, once in the log; HEAD tells the size, and no URL exists."""
    file = layer(world, "vocab.bpe")
    before, urls = len(world.records("download")), len(world.signed_urls)
    look = world.ask("HEAD", f"{REPOSITORY}/blobs/{file['digest']}")
    assert (look.status_code, look.content_length) == (200, file["size"])
    assert (len(world.records("download")), len(world.signed_urls)) == (before, urls)
    answer = world.ask("GET", f"{REPOSITORY}/blobs/{file['digest']}")
    assert answer.status_code == 307
    assert answer.headers["Location"] == world.signed_urls[-1]
    (record,) = world.records("download")[before:]
    assert record["download"] == answer.headers["X-Download-Id"]
    assert [one["path"] for one in record["files"]] == ["vocab.bpe"]
    assert (record["model"], record["stage"]) == ("gpt-2", "774M")
