"""What the registry protocol has and this registry does not: writing."""

import pytest

from tests.world import World

WRITES = [
    ("POST", "/blobs/uploads/"), ("POST", "/blobs/uploads/?mount=sha256:0&from=gpt-2/124m"),
    ("PUT", "/manifests/main"), ("PATCH", "/blobs/uploads/1"), ("DELETE", "/manifests/main"),
    ("DELETE", f"/blobs/sha256:{0:064x}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("token", ["publisher", "cleared", None])
def test_nothing_can_be_written(shared_world: World, method: str, path: str, token: str | None) -> None:
    """Whoever asks, and whatever for: the same answer, and nothing is told of what there is."""
    answers = [shared_world.ask(method, f"/v2/{name}{path}", token) for name in ("gpt-2/774m", "gpt-2/1558m", "no/no")]
    assert {one.status_code for one in answers} == {405}
    assert {one.get_json()["errors"][0]["code"] for one in answers} == {"UNSUPPORTED"}
