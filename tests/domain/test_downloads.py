"""Issuing: decided, logged, then signed; or none of it."""

import urllib.request

import pytest

from server.domain import clearances, downloads
from server.domain.errors import NotCleared
from tests.world import World


def test_a_signed_url_fetches_the_published_bytes(world: World) -> None:
    """What is issued is what was published, byte for byte."""
    download = downloads.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json"]))
    with urllib.request.urlopen(download.urls[0]) as response:
        body = response.read()
    assert body == (world.template.sources / "gpt-2/774M/hparams.json").read_bytes()


def test_a_revoked_clearance_stops_the_next_download(world: World) -> None:
    """Revocation acts on the next request, and a refusal leaves no URL and no entry."""
    clearances.revoke(world.use, world.admin, 1)
    with pytest.raises(NotCleared):
        downloads.issue(world.use, world.caller("cleared"), world.order())
    assert world.signed_urls == []
    assert world.entries("download") == []
