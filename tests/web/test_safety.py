"""Safety: what every answer carries, whatever was asked and however it ended."""

import pytest

from server.web import app as web
from tests.world import World

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ANSWERS = [
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/api/v1/me", 200),
    ("HEAD", "/api/v1/me", 200),
    ("GET", "/api/v1/keys", 200),
    ("GET", "/api/v1/openapi.json", 200),
    ("GET", "/api/v1/stages/gpt-2/774M/checkpoints/main/manifest", 200),
    ("POST", "/api/v1/downloads", 201),
    ("OPTIONS", "/api/v1/downloads", 200),
    ("GET", "/api/v1/stages/mini-gpt/large/checkpoints", 403),
    ("GET", "/api/v1/stages/gpt-2/775M", 404),
    ("GET", "/nothing", 404),
    ("DELETE", "/api/v1/downloads", 405),
    ("GET", "/api/v1/people?limit=0", 400),
]


@pytest.mark.parametrize("public_url", ["http://localhost:8080", "https://weights.example.org"])
def test_every_answer_carries_its_headers(sqlite_world: World, public_url: str) -> None:
    """Nothing is cached, sniffed, framed or referred from; HSTS stands where there is TLS; no version is told."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"public_url": public_url})
    client = web.create(world.use).test_client()
    token = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    for method, path, status in ANSWERS:
        body = {"stage": "gpt-2/774M"} if method == "POST" else None
        answer = client.open(path, method=method, json=body, headers=token)
        assert answer.status_code == status, path
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
        assert ("Strict-Transport-Security" in answer.headers) == public_url.startswith("https"), path
        assert not {"Server", "X-Powered-By", "Set-Cookie", "Access-Control-Allow-Origin"} & set(answer.headers.keys())


def test_an_answer_has_an_id_of_its_own(sqlite_world: World) -> None:
    """The request's id is ours: a client can neither choose it nor see it twice."""
    ids = [sqlite_world.api("GET", "/me", headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert "mine" not in ids


@pytest.mark.parametrize("host", ["evil.example", "evil.example:99999", "bad host", "a" * 300, "\x7f", "[::1"])
def test_the_host_header_decides_nothing(sqlite_world: World, host: str) -> None:
    """Whatever host a client names, the answers are those of our own address."""
    honest = sqlite_world.api("GET", "/openapi.json", None)
    answer = sqlite_world.api("GET", "/openapi.json", None, headers={"Host": host})
    assert answer.status_code in {200, 400}
    assert answer.status_code == 400 or answer.data == honest.data
    assert "evil" not in answer.text
