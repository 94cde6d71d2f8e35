"""Tokens: shown once, made once, and seen by nobody but their maker and the maker's owners."""

import re
from datetime import timedelta
from typing import Any

from server import dates
from server.domain.callers import Caller
from server.domain.identity import people, token_uses, tokens
from server.domain.identity.tokens import FORM, HUB_FORM, Token
from server.domain.paging import Slice
from server.domain.permissions import Role
from tests.visits import Visit, words
from tests.world import World

GOOD: dict[str, Any] = {
    "name": "cluster", "scopes": ["stages:read", "downloads:create"], "days": "30",
    "networks": "192.0.2.0/24\n10.0.0.0/8",
}  # fmt: skip
KEY = re.compile(r'name="made_with"[^>]* value="([^"]+)"')


def key_of(page: str) -> str:
    found = KEY.search(page)
    assert found is not None
    return found[1]


def filled(visit: Visit, **changes: Any) -> dict[str, Any]:
    return {"made_with": key_of(visit.get("/tokens/new").text), **GOOD, **changes}


def stored(world: World, name: str) -> list[Token]:
    with world.use.database.reading() as session:
        return list(tokens.own(session, world.person(name), Slice(50)).items)


def add_member(world: World) -> Caller:
    people.add(
        world.use, world.admin, "aurora-institute", "mia@aurora-institute.example", "Mia Member", Role.MEMBER,
        "a long enough password",
    )  # fmt: skip
    world.example.people["member"] = {"email": "mia@aurora-institute.example"}
    return world.person("member")


def test_a_token_is_shown_once_and_works(sqlite_world: World) -> None:
    """With the scopes, networks and end that were asked for; no other page ever holds its text."""
    visit = sqlite_world.visit("cleared")
    page = visit.post("/tokens/new", filled(visit))
    found = FORM.search(page.text)
    assert page.status_code == 201
    assert page.headers["Cache-Control"] == "no-store"
    assert found is not None
    assert tokens.for_hub(found[0]) in page.text
    token = stored(sqlite_world, "cleared")[0]
    assert (token.scopes, token.networks) == ("downloads:create stages:read", "192.0.2.0/24 10.0.0.0/8")
    assert (token.expires_at - token.created_at).days == 30
    assert sqlite_world.api("GET", "/me", found[0]).status_code == 403  # known, and not from this network
    for path in ("/tokens", f"/tokens/{token.public_id}", "/tokens/new"):
        assert not FORM.search(visit.get(path).text)
        assert not HUB_FORM.search(visit.get(path).text)


def test_a_form_makes_one_token_however_often_it_is_sent(sqlite_world: World) -> None:
    """A reload, the back button or a second click makes no second one, and shows nothing again."""
    visit = sqlite_world.visit("cleared")
    fields, before = filled(visit), len(stored(sqlite_world, "cleared"))
    assert visit.post("/tokens/new", fields).status_code == 201
    again = visit.post("/tokens/new", fields)
    assert again.status_code == 409
    assert not FORM.search(again.text)
    assert "No second token was created" in words(again)
    assert 'value="cluster"' in again.text
    assert len(stored(sqlite_world, "cleared")) == before + 1
    assert visit.post("/tokens/new", {**fields, "made_with": key_of(again.text)}).status_code == 201


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(sqlite_world: World) -> None:
    """Missing, too long, of another type, too many days, a scope that the role has no use for, no form of ours."""
    visit = sqlite_world.visit("cleared")
    before = len(stored(sqlite_world, "cleared"))
    wrong: list[dict[str, Any]] = [
        {"name": ""}, {"name": "x" * 101}, {"scopes": []}, {"scopes": ["checkpoints:publish"]}, {"days": "91"},
        {"days": "0"}, {"days": "many"}, {"days": ""}, {"networks": "everywhere"}, {"networks": "x" * 1001},
        {"made_with": ""}, {"made_with": "short"},
    ]  # fmt: skip
    for change in wrong:
        answer = visit.post("/tokens/new", filled(visit, **change))
        assert answer.status_code == 422, change
        assert 'id="summary"' in answer.text
        assert "cluster" in answer.text or "name" in change
    assert visit.post("/tokens/new", {**filled(visit), "role": "admin"}).status_code == 400
    assert visit.post("/tokens/new", filled(visit), csrf="").status_code == 400
    assert visit.post("/tokens/new", filled(visit, name="x" * 1_000_001)).status_code == 413
    assert len(stored(sqlite_world, "cleared")) == before
    page = visit.get("/tokens/new").text
    assert "checkpoints:publish" not in page
    assert not re.search(r'type="checkbox"[^>]*required|required[^>]*type="checkbox"', page)  # each would have to be
    assert "checkpoints:publish" in sqlite_world.visit("publisher").get("/tokens/new").text


def test_rotating_shows_the_successor_once(sqlite_world: World) -> None:
    """And the old one works for a day more; the same form sent again changes nothing."""
    visit, old = sqlite_world.visit("cleared"), stored(sqlite_world, "cleared")[-1]
    fields = {"made_with": key_of(visit.get(f"/tokens/{old.public_id}").text)}
    page = visit.post(f"/tokens/{old.public_id}/rotate", fields)
    assert page.status_code == 201
    assert FORM.search(page.text)
    assert visit.post(f"/tokens/{old.public_id}/rotate", fields).status_code == 409
    assert len(stored(sqlite_world, "cleared")) == 3
    assert sqlite_world.api("GET", "/me", "cleared").status_code == 200


def test_revoking_says_first_what_happens_and_then_happens_at_once(sqlite_world: World) -> None:
    """The next request with the token is refused; revoking twice is refused with the reason."""
    visit, token = sqlite_world.visit("cleared"), stored(sqlite_world, "cleared")[-1]
    assert "This cannot be undone" in words(visit.get(f"/tokens/{token.public_id}/revoke"))
    assert sqlite_world.api("GET", "/me", "cleared").status_code == 200
    assert visit.post(f"/tokens/{token.public_id}/revoke").status_code == 303
    assert sqlite_world.api("GET", "/me", "cleared").status_code == 401
    again = visit.post(f"/tokens/{token.public_id}/revoke")
    assert again.status_code == 409
    assert "is already revoked" in words(again)


def test_another_s_token_does_not_exist(sqlite_world: World) -> None:
    """For another organization, for a member of the same one, and for the lab, which has pages of its own."""
    add_member(sqlite_world)
    token = stored(sqlite_world, "cleared")[-1]
    for name in ("unsigned", "member", "admin", "auditor"):
        visit = sqlite_world.visit(name)
        assert token.public_id not in visit.get("/tokens").text
        for path in ("", "/revoke"):
            assert visit.get(f"/tokens/{token.public_id}{path}").status_code == 404, name
        for path in ("/revoke", "/rotate", "/take-over"):
            assert visit.post(f"/tokens/{token.public_id}{path}").status_code == 404, name
    assert sqlite_world.visit("cleared").get("/tokens/a%00b").status_code == 404
    assert sqlite_world.api("GET", "/me", "cleared").status_code == 200


def test_an_owner_sees_takes_over_and_revokes_a_member_s_token(sqlite_world: World) -> None:
    """With who made it and when it was last used; rotating stays the maker's."""
    member = add_member(sqlite_world)
    visit = sqlite_world.visit("member")
    text = FORM.search(visit.post("/tokens/new", filled(visit, networks="")).text)
    assert text is not None
    token_id = stored(sqlite_world, "member")[0].id
    token_uses.note(sqlite_world.use, Caller(via="token", token_id=token_id, address="192.0.2.7"))
    owner = sqlite_world.visit("cleared")
    page = owner.get("/tokens")
    assert "Mia Member" in words(page)
    assert "192.0.2.7" in words(page)
    address = f"/tokens/{stored(sqlite_world, 'member')[0].public_id}"
    key = key_of(sqlite_world.visit("cleared").get("/tokens/new").text)
    assert owner.post(f"{address}/rotate", {"made_with": key}).status_code == 403
    assert owner.post(f"{address}/take-over").status_code == 303
    people.disable(sqlite_world.use, sqlite_world.person("cleared"), str(member.person))
    assert sqlite_world.api("GET", "/me", text[0]).status_code == 200
    assert owner.post(f"{address}/revoke").status_code == 303
    assert sqlite_world.api("GET", "/me", text[0]).status_code == 401


def test_staff_prove_themselves_before_a_token_is_made(sqlite_world: World) -> None:
    """It opens every stage for weeks: a session that somebody else found open makes none, and rotates none."""
    visit, world = sqlite_world.visit("admin"), sqlite_world
    assert visit.post("/tokens/new", filled(visit)).status_code == 201
    (token,) = [token for token in stored(world, "admin") if token.name == "cluster"]
    fields, known = filled(visit), len(stored(world, "admin"))
    visit.grow_stale()
    for path, sent in (("/tokens/new", fields), (f"/tokens/{token.public_id}/rotate", {"made_with": "x" * 22})):
        asked = visit.post(path, sent)
        assert (asked.status_code, "Confirm it’s you" in words(asked)) == (403, True)
    assert len(stored(world, "admin")) == known
    partner = world.visit("cleared")
    fields = filled(partner)
    partner.grow_stale()
    assert partner.post("/tokens/new", fields).status_code == 201


def test_lifetimes_are_offered_with_their_last_day(sqlite_world: World) -> None:
    """A week, a month, and as long as the settings allow; none that is longer."""
    at = sqlite_world.clock()
    page = words(sqlite_world.visit("cleared").get("/tokens/new"))
    for days in (7, 30, 90):
        assert f"after {days} days, on {dates.day(at + timedelta(days=days))}" in page
    settings = sqlite_world.use.settings.model_copy(update={"token_lifetime_days": 14})
    sqlite_world.use.settings = settings
    page = words(sqlite_world.visit("cleared").get("/tokens/new"))
    assert ("after 7 days" in page, "after 14 days" in page, "after 30 days" in page) == (True, True, False)
