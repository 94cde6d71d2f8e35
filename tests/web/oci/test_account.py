"""Signing in as container tools do: where a token is had, and what is given for a password."""

import pytest

from tests.web.oci.registry import REPOSITORY, basic
from tests.world import World


def test_a_conversation_begins_with_where_a_token_is_had(sqlite_world: World) -> None:
    """And leaves no refusal behind: that is how every tool begins."""
    answer = sqlite_world.client.get("/v2/")
    assert answer.status_code == 401
    realm = 'Bearer realm="http://localhost:8080/v2/token",service="localhost:8080"'
    assert answer.headers["WWW-Authenticate"] == realm
    assert sqlite_world.refusals() == []
    asked = sqlite_world.client.get(f"{REPOSITORY}/manifests/main").headers["WWW-Authenticate"]
    assert asked == f'{realm},scope="repository:gpt-2/774m:pull"'


def test_the_password_comes_back_as_the_token(sqlite_world: World) -> None:
    """Also with a scope for each of two repositories; who has none gets a word that gives no more than nothing."""
    token = sqlite_world.example.tokens["cleared"]
    query = "?service=x&scope=repository:gpt-2/774m:pull&scope=repository:gpt-2/124m:pull"
    answer = sqlite_world.client.get(f"/v2/token{query}", headers=basic(token))
    assert answer.get_json() == {"token": token, "access_token": token, "expires_in": 300}
    assert answer.headers["Cache-Control"] == "no-store"
    stranger = sqlite_world.client.get("/v2/token").get_json()["token"]
    assert stranger == "anonymous"
    assert sqlite_world.ask("GET", "/v2/", token=None, headers={"Authorization": f"Bearer {stranger}"}).json == {}
    for stage, status in (("124m", 200), ("774m", 401)):
        headers = {"Authorization": "Bearer anonymous"}
        asked = sqlite_world.client.get(f"/v2/gpt-2/{stage}/manifests/main", headers=headers)
        assert asked.status_code == status


@pytest.mark.parametrize("password", ["", "wgk_nonsense", "anonymous", "wgk_x:y"])
def test_a_wrong_password_gets_no_token(sqlite_world: World, password: str) -> None:
    answer = sqlite_world.client.get("/v2/token", headers=basic(password))
    assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    assert "error" not in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Basic /////w==", "Digest x", "Bearer", "Bearer a b"])
def test_a_broken_header_gets_no_token(sqlite_world: World, header: str) -> None:
    answer = sqlite_world.client.get("/v2/token", headers={"Authorization": header})
    assert answer.status_code == 401
