"""The account behind a token, for `hf auth whoami` and `hf auth login`; and the hub's spelling of a token."""

import pytest

from server.domain.identity import tokens
from tests.web.hub.test_refusals import BAD_TOKEN, require_refusal
from tests.world import World


def test_whoami_says_whose_token_it_is(world: World) -> None:
    """With all that the lines of the client need, and nothing of the token itself."""
    answer = world.ask("GET", "/api/whoami-v2")
    assert answer.json == {
        "type": "user",
        "id": "owner@aurora-institute.example",
        "name": "owner@aurora-institute.example",
        "fullname": "owner@aurora-institute.example",
        "orgs": [{"name": "aurora-institute"}],
        "auth": {"type": "access_token", "accessToken": {"displayName": "cleared, demo", "role": "read"}},
    }


def test_whoami_is_refused_without_a_token_that_works(sqlite_world: World) -> None:
    """The client tells the two apart."""
    require_refusal(sqlite_world.ask("GET", "/api/whoami-v2", None), 401, "GatedRepo", "No API token was sent.")
    require_refusal(sqlite_world.ask("GET", "/api/whoami-v2", "expired"), 401, None, BAD_TOKEN)


def test_a_token_works_here_in_the_spelling_of_the_hub(sqlite_world: World) -> None:
    """For programs that send no other; the log names it as it always does. At the API it is no token."""
    spelled = tokens.for_hub(sqlite_world.example.tokens["cleared"])
    assert sqlite_world.ask("GET", "/api/whoami-v2", spelled).json["orgs"] == [{"name": "aurora-institute"}]
    assert sqlite_world.ask("GET", "/gpt-2/774M/resolve/main/vocab.bpe", spelled).status_code == 302
    assert sqlite_world.records("download")[-1]["actor"]["token"] == sqlite_world.caller("cleared").token_public_id
    assert sqlite_world.api("GET", "/me", spelled).status_code == 401


@pytest.mark.parametrize("change", ["{0}x", "x{0}", "{0} {0}", "hf_{0}", '"{0}"'])
def test_what_is_not_exactly_a_token_is_none(sqlite_world: World, change: str) -> None:
    """In this spelling as in the other."""
    text = change.format(tokens.for_hub(sqlite_world.example.tokens["cleared"]))
    require_refusal(sqlite_world.ask("GET", "/api/whoami-v2", text), 401, None, BAD_TOKEN)
