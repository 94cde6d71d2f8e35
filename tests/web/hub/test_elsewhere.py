"""What the client asks for that is no model: the answers that keep it quiet, and a plain no to the rest."""

import pytest

from tests.world import World


def test_harnesses_are_an_empty_list_that_it_keeps(sqlite_world: World) -> None:
    """Without a token: the client asks before it has one."""
    answer = sqlite_world.ask("GET", "/api/agent-harnesses", None)
    assert (answer.status_code, answer.json) == (200, {"standardEnvVars": [], "harnesses": {}})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_telemetry_goes_nowhere(sqlite_world: World, method: str) -> None:
    """It is answered, so that nothing is tried again, and leaves nothing behind."""
    before = len(sqlite_world.entries())
    answer = sqlite_world.ask(method, "/api/telemetry/transformers/generation", None)
    assert (answer.status_code, answer.data, len(sqlite_world.entries())) == (204, b"", before)


@pytest.mark.parametrize("token", [None, "cleared", "expired"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_there_are_only_models(sqlite_world: World, kind: str, method: str, token: str | None) -> None:
    """Whoever asks, and by whatever name; also under the name of a stage."""
    for address in (f"/api/{kind}/gpt-2/774M", f"/api/{kind}/a/revision/main", f"/{kind}/a/b/resolve/main/c.txt"):
        answer = sqlite_world.ask(method, address, token)
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RepoNotFound")
        assert answer.headers["X-Error-Message"].startswith("There are no datasets or spaces here")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/api/repos/create"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/api/models/gpt-2/774M/preupload/main"),
        ("POST", "/api/models/gpt-2/774M/commit/main"),
        ("POST", "/api/models/gpt-2/774M"),
        ("GET", "/api/models/gpt-2/774M/xet-read-token/main"),
        ("GET", "/api/models/gpt-2/774M/discussions"),
        ("GET", "/api/models/gpt-2/774M/"),
        ("GET", "/api/models/gpt-2"),
        ("GET", "/api/models/gpt-2/774M/tree"),
        ("HEAD", "/api/collections"),
        ("GET", "/api/v12/stages"),
    ],
)
def test_everything_else_is_a_plain_no(sqlite_world: World, method: str, address: str) -> None:
    """In JSON, without a code: not that anything is missing, but that there is no such service."""
    before = len(sqlite_world.entries())
    answer = sqlite_world.ask(method, address)
    assert answer.status_code == 404
    assert answer.headers["X-Error-Message"] == "This server does not offer this."
    assert "X-Error-Code" not in answer.headers
    if method != "HEAD":
        assert answer.json == {"error": "This server does not offer this."}
    assert len(sqlite_world.entries()) == before


def test_our_own_api_keeps_its_errors(sqlite_world: World) -> None:
    """Below /api/v1 nothing is the hub's, whether it is there or not."""
    for address in ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/models/gpt-2/774M"):
        assert sqlite_world.ask("GET", address).mimetype == "application/problem+json"
