"""Sign-in with a real identity provider: whom it lets in, with which second factor, and what never opens anything."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from limits import parse
from werkzeug.test import TestResponse

from server.domain.accounts import invitations
from server.domain.identity import linked_identities, people
from server.domain.permissions import Role
from server.domain.release import holds
from server.storage import identity_providers, provider_fetches
from server.web.portal.kit import limits
from server.web.portal.kit.limits import Limit
from tests.domain.accounts.test_factors import begin_a_step
from tests.domain.accounts.test_invitations import NEW, secret_of
from tests.identity_providers import AURORA, NAME, come_back, go, leave, link, use_provider
from tests.oidc_provider import CONFIDENTIAL, MULTI_FACTOR, PUBLIC, SECRET, OidcProvider, Passed
from tests.visits import Visit, words
from tests.web.portal.account.test_invitations import fill
from tests.web.portal.account.test_sign_in import code_of, password, rows, second
from tests.world import World

WHO = "cleared"


@pytest.fixture
def linked(sqlite_world: World, oidc_provider: OidcProvider) -> World:
    """A partner's owner signs in as `ada` at the provider."""
    use_provider(sqlite_world, oidc_provider)
    link(sqlite_world, WHO, "ada")
    return sqlite_world


def refused(world: World, answer: TestResponse, says: str, status: int = 403) -> None:
    """Nobody was signed in, and the page says why."""
    assert (answer.status_code, says in words(answer)) == (status, True), words(answer)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "weightgate-session=" not in str(answer.headers.getlist("Set-Cookie"))
    assert rows(world) == []


def test_whoever_the_provider_confirms_with_a_second_factor_is_in(linked: World, oidc_provider: OidcProvider) -> None:
    """With its button, and on to where they wanted; the session says by which provider, and has a new secret."""
    visit = linked.visit(None)
    assert f"Sign in with {NAME}" in words(visit.get("/sign-in"))
    done = go(visit, oidc_provider, "ada", fields={"next": "/tokens"}, second_factor=True)
    assert (done.status_code, done.headers["Location"]) == (303, "/tokens")
    assert "weightgate-device=" in str(done.headers.getlist("Set-Cookie"))
    (row,) = rows(linked)
    assert (row.factor, row.issuer) == ("provider", oidc_provider.issuer)
    assert "Account" in words(visit.get("/account"))


def test_without_a_second_factor_there_ours_is_asked_for(linked: World, oidc_provider: OidcProvider) -> None:
    """A password at the provider alone opens nothing."""
    visit = linked.visit(None)
    back = go(visit, oidc_provider, "ada", fields={"next": "/tokens"})
    assert (back.status_code, back.headers["Location"]) == (303, "/sign-in/second-factor?next=/tokens")
    assert rows(linked) == []
    done = second(visit, code_of(linked), next="/tokens")
    assert (done.status_code, done.headers["Location"]) == (303, "/tokens")
    (row,) = rows(linked)
    assert (row.factor, row.issuer) == ("totp", oidc_provider.issuer)


TRUSTED: list[tuple[dict[str, Any], bool]] = [
    ({"second_factor_amr": ()}, False),
    ({"second_factor_amr": ("otp",)}, False),
    ({"second_factor_amr": (), "second_factor_acr": (MULTI_FACTOR,)}, True),
]


@pytest.mark.parametrize(("trusted", "is_enough"), TRUSTED)
def test_a_second_factor_counts_in_the_words_that_the_settings_trust(
    sqlite_world: World, oidc_provider: OidcProvider, trusted: dict[str, Any], is_enough: bool
) -> None:
    """Said in others, or trusted in none, ours is asked for."""
    use_provider(sqlite_world, oidc_provider, **trusted)
    link(sqlite_world, WHO, "ada")
    back = go(sqlite_world.visit(None), oidc_provider, "ada", second_factor=True)
    assert (back.headers["Location"] == "/") is is_enough
    assert len(rows(sqlite_world)) == is_enough


def test_what_the_provider_is_asked_is_bound_to_this_browser(linked: World, oidc_provider: OidcProvider) -> None:
    """A code, with PKCE, state and nonce, to one address of ours; new secrets each time, and never the lasting one."""
    told = [parse_qs(urlsplit(leave(linked.visit(None))).query) for _ in range(2)]
    fixed = {
        "response_type": ["code"], "code_challenge_method": ["S256"], "client_id": [CONFIDENTIAL],
        "redirect_uri": ["http://localhost:8080/sign-in/with/lab/return"], "scope": ["openid profile"],
    }  # fmt: skip
    for one in told:
        assert {name: one[name] for name in fixed} == fixed
    for name in ("state", "nonce", "code_challenge"):
        assert len(told[0][name][0]) >= 43
        assert told[0][name] != told[1][name]
    assert SECRET not in str(told)


def test_a_public_client_that_signs_with_elliptic_curves_works_alike(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """PKCE alone proves who redeems the code."""
    use_provider(sqlite_world, oidc_provider, client_id=PUBLIC, client_secret_file=None)
    link(sqlite_world, WHO, "ada")
    assert go(sqlite_world.visit(None), oidc_provider, "ada", second_factor=True).status_code == 303
    assert len(rows(sqlite_world)) == 1


def test_a_known_address_with_an_unknown_subject_opens_nothing(linked: World, oidc_provider: OidcProvider) -> None:
    """Whoever is given somebody's old e-mail address is not them; the page says whom to ask."""
    linked.add_person(AURORA, "bo@login.example", Role.MEMBER)
    answer = go(linked.visit(None), oidc_provider, "bo", second_factor=True)
    refused(linked, answer, "no account here is linked to that identity")
    assert linked.settings.contact in words(answer)


def test_whoever_may_not_act_is_not_let_in(linked: World, oidc_provider: OidcProvider) -> None:
    """The same refusals as after a password."""
    holds.place(linked.use, linked.admin, f"organization:{AURORA}", "A finding.")
    answer = go(linked.visit(None), oidc_provider, "ada", second_factor=True)
    refused(linked, answer, "suspended")


def test_a_disabled_person_is_not_let_in(linked: World, oidc_provider: OidcProvider) -> None:
    """However well the provider knows them."""
    linked.add_person(AURORA, "other@aurora-institute.example", Role.OWNER)
    people.disable(linked.use, linked.admin, str(linked.person(WHO).person))
    refused(linked, go(linked.visit(None), oidc_provider, "ada", second_factor=True), "disabled")


def test_a_provider_signs_in_its_own_organizations_alone(linked: World, oidc_provider: OidcProvider) -> None:
    """A link from before the settings were narrowed is worth nothing."""
    use_provider(linked, oidc_provider, organizations=("example-lab",))
    answer = go(linked.visit(None), oidc_provider, "ada", second_factor=True)
    refused(linked, answer, "does not sign in people of your organization")


def test_where_the_provider_is_the_only_way_in_passwords_open_nothing(
    linked: World, oidc_provider: OidcProvider
) -> None:
    """Neither the password, nor a second factor that was asked for before; the provider does."""
    visit, late = linked.visit(None), linked.visit(None)
    password(late, linked)
    use_provider(linked, oidc_provider, only_way_in=True)
    answer = password(visit, linked)
    assert (answer.status_code, f"sign in with {NAME} only" in words(answer)) == (403, True)
    assert second(late, code_of(linked)).status_code == 403
    assert rows(linked) == []
    assert password(linked.visit(None), linked, "uncleared").status_code == 303  # of another organization
    assert go(visit, oidc_provider, "ada", second_factor=True).status_code == 303


def test_a_sign_in_at_the_provider_a_while_ago_is_no_fresh_one_here(linked: World, oidc_provider: OidcProvider) -> None:
    """Whoever finds a browser that is signed in there can look around here, and change nothing that matters."""

    def a_while_ago(passed: Passed) -> None:
        if passed.path == "/token":
            said = passed.said()
            claims = claims_of(said["id_token"]) | {"auth_time": int(linked.clock().timestamp()) - 400}
            passed.say(said | {"id_token": jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, KEY)})
        elif passed.path == "/jwks":
            passed.say({"keys": [KEY.as_dict(private=False)]})

    visit = linked.visit(None)
    oidc_provider.relay.meddle = a_while_ago
    assert go(visit, oidc_provider, "ada", second_factor=True).headers["Location"] == "/"
    asked = visit.get("/account/password")
    assert (asked.status_code, asked.headers["Location"]) == (303, "/account/confirm?next=/account/password")
    oidc_provider.relay.meddle = lambda _: None
    linked.use.__dict__.pop("identity_providers")
    visit = linked.visit(None)
    go(visit, oidc_provider, "ada", second_factor=True)
    assert visit.get("/account/password").status_code == 200  # they have just typed it


# --- What comes back and is not an answer to what was asked ----------------------------------


def test_an_answer_counts_once(linked: World, oidc_provider: OidcProvider) -> None:
    """The address that somebody came back with, opened again: by the back button, or by who read a history."""
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    kept = visit.client.get_cookie("weightgate-visitor")
    assert kept is not None
    assert come_back(visit, address).status_code == 303
    assert come_back(linked.visit(None), address).status_code == 403
    visit.client.set_cookie("weightgate-visitor", kept.value)  # a copy of what the browser held then
    again = come_back(visit, address)
    assert (again.status_code, "already completed" in words(again)) == (403, True)
    assert len(rows(linked)) == 1


def changed(address: str, **fields: str | None) -> str:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | fields
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value is not None})).geturl()


@pytest.mark.parametrize("state", ["x" * 43, "", None])
def test_another_state_is_refused(linked: World, oidc_provider: OidcProvider, state: str | None) -> None:
    """Invented, empty or left out; and the right one still works: nobody else can end a sign-in that is on its way."""
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    refused(linked, come_back(visit, changed(address, state=state)), "not the answer to the sign-in")
    assert come_back(visit, address).status_code == 303


def test_the_answer_to_another_browser_signs_nobody_in(linked: World, oidc_provider: OidcProvider) -> None:
    """An attacker's own answer, planted in somebody's browser: with or without a sign-in that is on its way there."""
    theirs = oidc_provider.go_through(leave(linked.visit(None)), "ada", second_factor=True)
    visit = linked.visit(None)
    refused(linked, come_back(visit, theirs), "Start again")
    leave(visit)
    refused(linked, come_back(visit, theirs), "not the answer to the sign-in")


@pytest.mark.parametrize("issuer", ["https://other.example", "", None])
def test_an_answer_that_names_another_issuer_is_refused(
    linked: World, oidc_provider: OidcProvider, issuer: str | None
) -> None:
    """Or none, where the provider says that it names itself (RFC 9207): one provider cannot speak for another."""
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    asked = len(oidc_provider.relay.asked)
    refused(linked, come_back(visit, changed(address, iss=issuer)), "its answer is not its own")
    assert oidc_provider.relay.asked[asked:] == []  # the code is shown to nobody


def test_an_answer_at_another_provider_s_address_is_refused(linked: World, oidc_provider: OidcProvider) -> None:
    """Each has its own, and the ceremony knows of which one it is."""
    known = linked.use.settings.identity_providers[0]
    other = known.model_copy(update={"id": "other", "name": "Other", "issuer": "https://other.example"})
    linked.use.settings = linked.use.settings.model_copy(update={"identity_providers": (known, other)})
    linked.use.__dict__.pop("identity_providers", None)
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    refused(linked, come_back(visit, address.replace("/with/lab/", "/with/other/")), "not the answer to the sign-in")


def test_somebody_who_cancels_reads_that(linked: World, oidc_provider: OidcProvider) -> None:
    """And can begin again."""
    visit = linked.visit(None)
    refused(linked, go(visit, oidc_provider, None), "you cancelled, or it did not let you in")
    assert go(visit, oidc_provider, "ada", second_factor=True).status_code == 303


def test_another_error_is_not_quoted(linked: World, oidc_provider: OidcProvider) -> None:
    """Whoever writes an address could else write our page."""
    visit = linked.visit(None)
    state = parse_qs(urlsplit(leave(visit)).query)["state"][0]
    query = urlencode(
        {"error": "call 555-0100", "error_description": "<b>now", "state": state, "iss": oidc_provider.issuer}
    )
    answer = come_back(visit, f"http://localhost/sign-in/with/lab/return?{query}")
    refused(linked, answer, "it reported an error")
    assert "555-0100" not in answer.text


def test_a_code_that_was_redeemed_signs_nobody_in(linked: World, oidc_provider: OidcProvider) -> None:
    """Neither again, nor one of another sign-in: it is bound to what the browser began (PKCE)."""
    first, attacker = linked.visit(None), linked.visit(None)
    address = oidc_provider.go_through(leave(first), "ada", second_factor=True)
    stolen = parse_qs(urlsplit(address).query)["code"][0]
    mine = oidc_provider.go_through(leave(attacker), "bo", second_factor=True)
    refused(linked, come_back(attacker, changed(mine, code=stolen)), "did not accept the code")


def test_no_address_leads_elsewhere_after_signing_in(linked: World, oidc_provider: OidcProvider) -> None:
    """As after a password: addresses of ours alone."""
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "/%09/evil.example\t"):
        done = go(linked.visit(None), oidc_provider, "ada", fields={"next": wanted}, second_factor=True)
        assert urlsplit(done.headers["Location"]).netloc == ""
        assert not done.headers["Location"].startswith(("//", "/\\"))


# --- ID tokens that are not this provider's word, about this sign-in, to us -----------------

KEY = RSAKey.generate_key(2048, {"kid": "nobody-knows-this-key"})


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


FORGED: dict[str, Callable[[OidcProvider, dict[str, Any]], Any]] = {
    "without a signature": lambda _, claims: unsigned(claims),
    "by a key of nobody": lambda _, claims: jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, KEY),
    "by the client's secret": lambda _, claims: jwt.encode(
        {"alg": "HS256"}, claims, OctKey.import_key(SECRET), algorithms=["HS256"]
    ),
    "for another client": lambda provider, claims: provider.id_token("ada", nonce=claims["nonce"]),
    "of another sign-in": lambda provider, _: provider.id_token("ada", CONFIDENTIAL, nonce="another"),
    "that is none": lambda *_: "a.b.c",
    "that is missing": lambda *_: None,
    "that is a list": lambda *_: ["x"],
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
def test_an_id_token_that_is_not_the_provider_s_word_to_us_is_refused(
    linked: World, oidc_provider: OidcProvider, how: str
) -> None:
    """Whoever stands between us and the provider, or is another client of it, signs nobody in."""
    changed_once: list[bool] = []

    def forge(passed: Passed) -> None:
        if passed.path == "/token" and not changed_once:
            changed_once.append(True)
            said = passed.said()
            said["id_token"] = FORGED[how](oidc_provider, claims_of(said["id_token"]))
            passed.say({name: value for name, value in said.items() if value is not None})

    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    oidc_provider.relay.meddle = forge
    refused(linked, come_back(visit, address), f"{NAME} did not confirm who you are")
    assert changed_once == [True]


def test_a_token_from_long_ago_or_from_the_future_is_refused(linked: World, oidc_provider: OidcProvider) -> None:
    """By our clock, give or take a minute."""
    for away in (timedelta(minutes=12), -timedelta(minutes=24)):
        linked.clock.advance(away)
        refused(linked, go(linked.visit(None), oidc_provider, "ada", second_factor=True), "is not for this sign-in")


def test_a_key_that_the_provider_has_since_is_looked_up_and_not_at_every_try(
    linked: World, oidc_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New keys work from the first sign-in with them; whoever invents key IDs makes us ask once a minute."""
    assert go(linked.visit(None), oidc_provider, "ada", second_factor=True).status_code == 303
    oidc_provider.end()
    oidc_provider.start()
    linked_before = len(rows(linked))
    answer = go(linked.visit(None), oidc_provider, "ada", second_factor=True)
    assert answer.status_code == 403  # asked a moment ago
    monkeypatch.setattr(identity_providers, "KEYS_AGAIN_SECONDS", -1)
    assert go(linked.visit(None), oidc_provider, "ada", second_factor=True).status_code == 303
    assert len(rows(linked)) == linked_before + 1


# --- A provider that is not there ------------------------------------------------------------


def gone(_: Passed) -> None:
    raise OSError


def redirecting(passed: Passed) -> None:
    """To where a good answer would come from."""
    if passed.query != "elsewhere":
        passed.status, passed.headers, passed.body = 302, [("Location", f"{passed.path}?elsewhere")], b""


def failing(passed: Passed) -> None:
    passed.status = 500


def endless(passed: Passed) -> None:
    passed.body = b" " * (provider_fetches.ANSWER_BYTES_AT_MOST + 1)


def babbling(passed: Passed) -> None:
    passed.body = b"<html>"


def lying(passed: Passed) -> None:
    passed.say({"keys": [], "issuer": "https://other.example"})


AWAY = {
    "gone": gone,
    "redirecting": redirecting,
    "failing": failing,
    "endless": endless,
    "babbling": babbling,
    "lying": lying,
}
STEPS = {"discovery": "/.well-known/openid-configuration", "keys": "/jwks", "token": "/token"}


@pytest.mark.parametrize(("how", "step"), [pair for pair in product(AWAY, STEPS) if pair != ("lying", "token")])
def test_a_provider_that_is_away_signs_nobody_in_and_says_so(
    linked: World, oidc_provider: OidcProvider, how: str, step: str
) -> None:
    """At each step: a page with a sentence and a retry, and the next try works."""

    def meddle(passed: Passed) -> None:
        if passed.path == STEPS[step]:
            AWAY[how](passed)

    visit = linked.visit(None)
    if step == "discovery":
        oidc_provider.relay.meddle = meddle
        answer = visit.post("/sign-in/with/lab")
    else:
        address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
        oidc_provider.relay.meddle = meddle
        answer = come_back(visit, address)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert f"{NAME} cannot sign you in now" in words(answer)
    assert rows(linked) == []
    oidc_provider.relay.meddle = lambda _: None
    assert go(visit, oidc_provider, "ada", second_factor=True).status_code == 303


def test_a_provider_that_has_ended_is_away(linked: World, oidc_provider: OidcProvider) -> None:
    """No port, no name: the same page."""
    use_provider(linked, oidc_provider, issuer="http://127.0.0.1:1")
    answer = linked.visit(None).post("/sign-in/with/lab")
    assert (answer.status_code, "does not respond" in words(answer)) == (503, True)


def test_a_client_secret_that_is_gone_signs_nobody_in(linked: World, oidc_provider: OidcProvider) -> None:
    """Nor does the page say where it should be."""
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    secret_file = linked.use.settings.identity_providers[0].client_secret_file
    assert secret_file is not None
    secret_file.unlink()
    answer = come_back(visit, address)
    assert (answer.status_code, secret_file.name in answer.text) == (503, False)
    assert rows(linked) == []


def test_tries_are_counted_by_where_they_come_from(
    linked: World, oidc_provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way there and the way back alike: each makes us ask a provider."""
    monkeypatch.setitem(limits.RATES, Limit.PROVIDER_OF_ADDRESS, parse("2 per 15 minutes"))
    visit = linked.visit(None)
    address = oidc_provider.go_through(leave(visit), "ada", second_factor=True)
    leave(linked.visit(None))
    assert come_back(visit, address).status_code == 429
    assert linked.visit(None).post("/sign-in/with/lab").status_code == 429
    assert rows(linked) == []


# --- Linking, unlinking, confirming ----------------------------------------------------------


def identities(world: World, name: str = WHO) -> list[str]:
    with world.use.database.reading() as session:
        return [one.subject for one in linked_identities.of_person(session, world.person(name).person_id)]


def unlink(visit: Visit, world: World, name: str = WHO) -> TestResponse:
    with world.use.database.reading() as session:
        (one,) = linked_identities.of_person(session, world.person(name).person_id)
    return visit.post(f"/account/identities/{one.id}/unlink")


def test_an_identity_is_linked_and_removed_on_the_account_page(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """Freshly signed in; the log tells of both, and a mail its person; every other session ends."""
    world = sqlite_world
    use_provider(world, oidc_provider)
    visit, elsewhere = world.visit(WHO), world.visit(WHO)
    assert f"Link {NAME}" in words(visit.get("/account"))
    visit.grow_stale()
    assert visit.post("/account/identities/link/lab").status_code == 403  # asks for a proof
    visit = world.visit(WHO)
    done = go(visit, oidc_provider, "ada", "/account/identities/link/lab")
    assert (done.status_code, done.headers["Location"]) == (303, "/account")
    assert identities(world) == ["ada"]
    assert elsewhere.get("/account").status_code == 303
    assert f"You can now sign in with {NAME}" in words(visit.get("/account"))
    assert unlink(visit, world).status_code == 303
    assert identities(world) == []
    told = [(one["issuer"], one["subject"]) for one in world.records("person.identity_link")]
    assert told == [(oidc_provider.issuer, "ada")]
    assert len(world.records("person.identity_unlink")) == 1
    refused(
        world, go(world.visit(None), oidc_provider, "ada", second_factor=True), "no account here"
    ) if False else None


def test_an_identity_belongs_to_one_person(linked: World, oidc_provider: OidcProvider) -> None:
    """Who signs in there as somebody else's identity gets neither it nor the account."""
    answer = go(linked.visit("admin"), oidc_provider, "ada", "/account/identities/link/lab")
    assert (answer.status_code, "already linked to an account" in words(answer)) == (409, True)
    assert identities(linked, "admin") == []


def test_a_link_that_somebody_else_began_is_not_theirs(linked: World, oidc_provider: OidcProvider) -> None:
    """Two people at one browser: what the first began, the second cannot end; nor somebody who has signed out."""
    visit = linked.visit("admin")
    address = oidc_provider.go_through(leave(visit, "/account/identities/link/lab"), "bo")
    other = linked.visit("admin2")
    visit.client.set_cookie("weightgate-session", str(other.client.get_cookie("weightgate-session").value))  # type: ignore[union-attr]
    assert come_back(visit, address).status_code == 403
    assert identities(linked, "admin") == identities(linked, "admin2") == []


def test_whose_account_somebody_else_set_up_links_nothing(sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """Else who made it could link an identity of their own, and keep the way in."""
    world = sqlite_world
    use_provider(world, oidc_provider)
    email = "handed@aurora-institute.example"
    people.add(world.use, world.person(WHO), AURORA, email, "Handed", Role.MEMBER)
    world.example.people["handed"] = {"email": email}
    assert world.visit("handed").post("/account/identities/link/lab").status_code == 403


def test_a_proof_at_the_provider_counts_for_an_act_that_needs_one(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """What was typed is kept meanwhile; afterwards it is shown, and sent by whoever it is."""
    world = sqlite_world
    use_provider(world, oidc_provider)
    link(world, "admin", "ada")
    visit = world.visit("admin")
    visit.grow_stale()
    fields = {"name": "Dover Lab", "slug": "dover-lab"}
    page = visit.post("/admin/add-organization", fields)
    assert (page.status_code, f"Confirm with {NAME}" in words(page)) == (403, True)
    before = rows(world)[-1].secret_sha256
    path, carried = (
        "/account/confirm/with/lab",
        {"proof_action": "/admin/add-organization", "proof_back": "/", **fields},
    )
    done = go(visit, oidc_provider, "ada", path, carried, second_factor=True)
    assert (done.status_code, done.headers["Location"]) == (303, "/account/kept-form")
    assert rows(world)[-1].secret_sha256 != before
    kept = visit.get("/account/kept-form")
    assert "You confirmed that it’s you" in words(kept)
    assert "Dover Lab" in words(kept)
    assert visit.post("/admin/add-organization", fields).status_code == 303


NO_PROOF: dict[str, tuple[str, bool, str]] = {
    "somebody else's identity": ("bo", True, "not the identity at"),
    "no second factor": ("ada", False, "did not confirm a second factor"),
}


@pytest.mark.parametrize("how", NO_PROOF)
def test_what_proves_nothing_new_confirms_nothing(sqlite_world: World, oidc_provider: OidcProvider, how: str) -> None:
    """The act still asks."""
    login, second_factor, says = NO_PROOF[how]
    world = sqlite_world
    use_provider(world, oidc_provider)
    link(world, "admin", "ada")
    visit = world.visit("admin")
    visit.grow_stale()
    path, fields = "/account/confirm/with/lab", {"next": "/admin/people"}
    answer = go(visit, oidc_provider, login, path, fields, second_factor=second_factor)
    assert (answer.status_code, says in words(answer)) == (403, True), words(answer)
    assert visit.post("/admin/add-organization", {"name": "D", "slug": "d"}).status_code == 403


def test_a_provider_that_did_not_ask_again_proves_nothing_new(sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """Whatever was asked of it: the time of the sign-in that it tells decides, and none tells nothing."""
    world = sqlite_world
    use_provider(world, oidc_provider)
    link(world, "admin", "ada")
    for ask in ({"max_age": None, "prompt": None},):
        visit = world.visit("admin")
        visit.grow_stale()
        address = changed(leave(visit, "/account/confirm/with/lab", {"next": "/"}), **ask)
        answer = come_back(visit, oidc_provider.go_through(address, "ada", second_factor=True))
        assert (answer.status_code, "did not ask you to sign in again" in words(answer)) == (403, True)


# --- Accepting an invitation with an identity ---------------------------------------------------


def invite(world: World, slug: str = AURORA, role: Role = Role.MEMBER) -> str:
    by = world.person(WHO) if slug == AURORA else world.admin
    invitations.invite(world.use, by, slug, NEW, role)
    return secret_of(world)


def accept(visit: Visit, provider: OidcProvider, secret: str, login: str, *, second_factor: bool) -> TestResponse:
    """Up to the page that asks for the rest."""
    path = f"/invitations/{secret}/with/lab"
    back = go(visit, provider, login, path, second_factor=second_factor)
    assert (back.status_code, back.headers["Location"]) == (303, "/sign-in/accept"), words(back)
    return visit.get("/sign-in/accept")


def test_an_invited_person_comes_with_an_identity_and_without_a_password(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """The link and the identity decide, whatever address the provider says; the second factor is the provider's."""
    world, secret = sqlite_world, invite(sqlite_world)
    use_provider(world, oidc_provider)
    visit = world.visit(None)
    assert f"Continue with {NAME}" in words(visit.get(f"/invitations/{secret}"))
    page = accept(visit, oidc_provider, secret, "ada", second_factor=True)
    assert 'value="Ada Example"' in page.text
    assert '<svg class="qr' not in page.text
    done = visit.post("/sign-in/accept", {"name": "Ada New"})
    assert (done.status_code, done.headers["Location"]) == (303, "/account")
    assert "Choose a password" in words(visit.get("/account"))
    assert [record["person"] for record in world.records("person.accept_invitation")] == [NEW]
    assert [record["subject"] for record in world.records("person.identity_link")] == ["ada"]
    assert visit.post("/sign-in/accept", {"name": "Ada New"}).status_code == 403
    again = go(world.visit(None), oidc_provider, "ada", second_factor=True)
    assert again.status_code == 303
    guessed = world.visit(None).post("/sign-in", {"email": NEW, "password": "a password that they never had"})
    assert guessed.status_code == 422


def test_an_identity_without_a_second_factor_brings_an_app(sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """Set up before the account is made; and asked for at the next sign-in."""
    world, secret = sqlite_world, invite(sqlite_world)
    use_provider(world, oidc_provider, second_factor_amr=())
    visit = world.visit(None)
    page = accept(visit, oidc_provider, secret, "ada", second_factor=True)
    totp = invitations.totp_secret(world.use, secret)
    assert totp in page.text
    assert visit.post("/sign-in/accept", {"name": "Ada"}).status_code == 422
    assert visit.post("/sign-in/accept", {"name": "Ada", "code": "12"}).status_code == 422
    begin_a_step(world)
    done = visit.post("/sign-in/accept", {"name": "Ada", "code": pyotp.TOTP(totp).at(world.clock())})
    assert (done.status_code, done.headers["Location"]) == (303, "/account/recovery-codes")
    later = world.visit(None)
    assert go(later, oidc_provider, "ada").headers["Location"] == "/sign-in/second-factor"
    assert len(rows(world)) == 1


def test_a_role_in_the_lab_still_waits_for_a_second_admin(sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """However strongly the provider knows them."""
    world, secret = sqlite_world, invite(sqlite_world, "example-lab", Role.ADMIN)
    use_provider(world, oidc_provider)
    visit = world.visit(None)
    accept(visit, oidc_provider, secret, "ada", second_factor=True)
    assert visit.post("/sign-in/accept", {"name": "Ada"}).status_code == 303
    assert world.person_of(NEW).role is Role.PENDING


def test_an_identity_accepts_for_one_account_and_its_own_organizations(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """Linked already, or of a provider for others: nobody is made, and the invitation stays open."""
    world, secret = sqlite_world, invite(sqlite_world)
    use_provider(world, oidc_provider)
    link(world, "admin", "ada")
    visit = world.visit(None)
    accept(visit, oidc_provider, secret, "ada", second_factor=True)
    answer = visit.post("/sign-in/accept", {"name": "Ada"})
    assert (answer.status_code, "already linked to an account" in words(answer)) == (409, True)
    use_provider(world, oidc_provider, organizations=("example-lab",))
    assert f"Continue with {NAME}" not in words(visit.get(f"/invitations/{secret}"))
    assert visit.post(f"/invitations/{secret}/with/lab").status_code == 403
    assert visit.post(f"/invitations/{'x' * 43}/with/lab").status_code == 404
    assert visit.post("/sign-in/accept", {"name": "Ada"}).status_code == 403
    assert world.records("person.accept_invitation") == []


def test_where_the_provider_is_the_only_way_in_no_password_is_chosen(
    sqlite_world: World, oidc_provider: OidcProvider
) -> None:
    """The page asks for none, and takes none."""
    world, secret = sqlite_world, invite(sqlite_world)
    use_provider(world, oidc_provider, only_way_in=True)
    visit = world.visit(None)
    assert 'type="password"' not in visit.get(f"/invitations/{secret}").text
    begin_a_step(world)
    answer = visit.post(f"/invitations/{secret}", fill(world, secret))
    assert answer.status_code == 403
    assert world.records("person.accept_invitation") == []


# --- Ways in that are left ----------------------------------------------------------------------


def test_the_last_way_in_stays(sqlite_world: World, oidc_provider: OidcProvider) -> None:
    """Who came with an identity removes it once they have another way; a first password needs none before it."""
    world, secret = sqlite_world, invite(sqlite_world)
    use_provider(world, oidc_provider)
    visit = world.visit(None)
    accept(visit, oidc_provider, secret, "ada", second_factor=True)
    visit.post("/sign-in/accept", {"name": "Ada"})
    world.example.people["ada"] = {"email": NEW}
    answer = unlink(visit, world, "ada")
    assert (answer.status_code, "could not sign in any more" in words(answer)) == (409, True)
    chosen = visit.post("/account/password", {"new_password": "a password of their own"})
    assert chosen.status_code == 303
    assert unlink(visit, world, "ada").status_code == 409  # a password alone opens nothing
    wrong = visit.post("/account/password", {"new_password": "another password of their own"})
    assert wrong.status_code == 422  # from now on the present one is asked for
    made = visit.post("/account/recovery-codes", {"newest": "0"})
    assert made.status_code == 200
    assert unlink(visit, world, "ada").status_code == 303


def test_a_password_is_no_other_way_where_the_provider_is_the_only_one(
    linked: World, oidc_provider: OidcProvider
) -> None:
    """The identity stays."""
    use_provider(linked, oidc_provider, only_way_in=True)
    assert unlink(linked.visit(WHO), linked).status_code == 409


def test_an_identity_that_is_removed_meanwhile_signs_nobody_in(linked: World, oidc_provider: OidcProvider) -> None:
    """Between the provider and the second factor."""
    visit = linked.visit(None)
    go(visit, oidc_provider, "ada")
    assert unlink(linked.visit(WHO), linked).status_code == 303
    answer = second(visit, code_of(linked))
    assert (answer.status_code, "The identity was removed" in words(answer)) == (409, True) or answer.status_code == 422
    assert [row.issuer for row in rows(linked)] == [None]
