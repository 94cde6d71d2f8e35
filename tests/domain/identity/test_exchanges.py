"""Exchanges: one token for one identity token, under one trust record, while its owner is one; each in the log."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import (
    IdentityTokenExpired,
    IdentityTokenRefused,
    InvalidCredentials,
    InvalidRequest,
    NetworkNotAllowed,
    NotPermitted,
    NotPossible,
    NotTrusted,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
    TooManyAttempts,
)
from server.domain.identity import authentication, exchanges, people, tokens, trust_records
from server.domain.identity.exchanges import Wish
from server.domain.permissions import Role, Scope
from server.domain.release import holds
from tests.issuer import ACCOUNT, Issuer, exchanged, trusting
from tests.world import STRANGER, World, cases

AURORA = "aurora-institute"
OWNER = f"owner@{AURORA}.example"


def caller_of(world: World, text: str) -> Caller:
    caller, refused = authentication.identify(world.use, text, STRANGER)
    if refused is not None:
        raise refused
    return caller


def session(world: World, text: str, trust_record: int | None = None) -> Caller:
    caller, refused = exchanges.session_of(world.use, STRANGER, text, Wish(trust_record=trust_record))
    if refused is not None:
        raise refused
    return caller


def test_an_identity_token_becomes_a_short_token(world: World, issuer: Issuer) -> None:
    """It acts for the owner who made the trust record; the entry and every download name machine and run."""
    number = trusting(world, issuer)
    made = exchanged(world, issuer.token())
    assert made.text.startswith("wgs_")
    assert made.token.expires_at - made.token.created_at == exchanges.LIFETIME
    caller = caller_of(world, made.text)
    assert (caller.person, caller.organization, caller.scopes) == (
        OWNER, AURORA, frozenset({Scope.STAGES_READ, Scope.DOWNLOADS_CREATE}),
    )  # fmt: skip
    (entry,) = world.records("token.exchange")
    machine = {"trust_record": number, "subject": ACCOUNT, "run": "pod b9e5c0de-1111-4222-8333-444455556666"}
    assert machine.items() <= entry.items()
    assert (entry["issuer"], entry["token"], entry["door"]) == (issuer.url, made.token.public_id, "exchange")
    assert entry["secret_sha256"] == made.token.secret_sha256.hex()
    issuing.issue(world.use, caller, world.order())
    assert world.records("download")[-1]["actor"]["workload"] == machine


def test_a_machine_s_token_is_never_kept(world: World, issuer: Issuer) -> None:
    """Whose identity was shown stands in a table that has no generation: it is read each time."""
    trusting(world, issuer)
    made = exchanged(world, issuer.token())
    for _ in range(3):
        caller, refused = authentication.identify(world.use, made.text, STRANGER, kept=True)
        assert (caller.is_kept, refused) == (False, None)
        issuing.issue(world.use, caller, world.order())


def test_github_s_runs_are_named(sqlite_world: World, issuer: Issuer) -> None:
    """By the repository's number, which nobody else ever gets."""
    world = sqlite_world
    trusting(world, issuer, claims={"repository_id": "74", "ref": "refs/heads/main"})
    exchanged(world, issuer.github())
    assert world.records("token.exchange")[-1]["run"] == "run_id 4711"
    for other in ({"repository_id": "75"}, {"ref": "refs/heads/other"}, {"repository_id": 74}, {"ref": None}):
        with pytest.raises(NotTrusted):
            exchanged(world, issuer.github(**other))


def test_an_identity_token_is_good_for_one_token(world: World, issuer: Issuer) -> None:
    """By its ID, whatever else differs; or by itself, where it has none."""
    trusting(world, issuer)
    first = issuer.claims()
    exchanged(world, issuer.sign(first))
    for again in (first, first | {"iat": first["iat"] - 1}):
        with pytest.raises(IdentityTokenRefused, match="used already"):
            exchanged(world, issuer.sign(again))
    without = issuer.token(jti=None)
    exchanged(world, without)
    with pytest.raises(IdentityTokenRefused, match="used already"):
        exchanged(world, without)


def test_however_many_show_it_at_once(world: World, issuer: Issuer) -> None:
    """One of them gets a token."""
    trusting(world, issuer)
    text = issuer.token()

    def show(_: int) -> str:
        try:
            return exchanged(world, text).text
        except IdentityTokenRefused:
            return ""

    with ThreadPoolExecutor(8) as pool:
        got = Counter(bool(text) for text in pool.map(show, range(16)))
    assert got == {True: 1, False: 15}


def test_at_the_sts_door_it_is_one_session(world: World, issuer: Issuer) -> None:
    """Shown again it is the same; another token from the same pod is another. Each door keeps to itself."""
    trusting(world, issuer)
    text = issuer.token()
    with ThreadPoolExecutor(8) as pool:
        callers = list(pool.map(lambda _: session(world, text), range(8)))
    assert len({caller.token_public_id for caller in callers}) == 1
    assert session(world, issuer.token()).token_public_id != callers[0].token_public_id
    assert [entry["door"] for entry in world.records("token.exchange")] == ["sts", "sts"]
    with pytest.raises(IdentityTokenRefused, match="used already"):
        exchanged(world, text)
    other = issuer.token()
    exchanged(world, other)
    with pytest.raises(IdentityTokenRefused, match="used already"):
        session(world, other)


def test_a_session_lasts_as_long_as_its_identity_token_and_an_hour(sqlite_world: World, issuer: Issuer) -> None:
    """Its keys then end by themselves; the expired identity token gives no more."""
    world = sqlite_world
    trusting(world, issuer)
    short, at = issuer.github(sub=ACCOUNT, **{"kubernetes.io": issuer.claims()["kubernetes.io"]}), world.clock()
    end = session(world, short).token_expires_at
    assert end is not None
    assert timedelta(minutes=59) < end - at <= timedelta(minutes=61)
    now = int(at.timestamp())
    end = session(world, issuer.token(exp=now + 20 * 3600)).token_expires_at
    assert end is not None
    assert end.timestamp() == now + 20 * 3600
    world.clock.advance(timedelta(minutes=10))
    with pytest.raises(IdentityTokenExpired):
        session(world, short)


def test_who_is_not_trusted_learns_nothing(sqlite_world: World, issuer: Issuer) -> None:
    """Another audience, subject or account, a record of another issuer, none at all: one sentence."""
    world = sqlite_world
    said = set()
    trusting(world, issuer, claims={"sub": "someone else"})
    with pytest.raises(NotTrusted) as nobody:
        exchanged(world, issuer.token())
    said.add(nobody.value.detail)
    number = trusting(world, issuer)
    for claims, wish in (
        ({"aud": "https://other.example.org"}, {}), ({"sub": "system:serviceaccount:research:other"}, {}),
        ({"kubernetes.io": {"serviceaccount": {"uid": "x"}}}, {}), ({"kubernetes.io": "research"}, {}),
        ({}, {"organization": "birch-university"}), ({}, {"organization": "no-such"}), ({}, {"trust_record": 999}),
        ({}, {"organization": "birch-university", "trust_record": number}),
    ):  # fmt: skip
        with pytest.raises(NotTrusted) as refused:
            exchanged(world, issuer.token(**claims), **wish)
        said.add(refused.value.detail)
    assert len(said) == 1
    assert world.records("token.exchange") == []


def test_several_that_match_are_told_apart_by_name(sqlite_world: World, issuer: Issuer) -> None:
    """Another organization may trust the same machine: it does not become theirs by that."""
    world = sqlite_world
    mine, other = trusting(world, issuer), trusting(world, issuer, by="unsigned")
    text = issuer.token()
    with pytest.raises(InvalidRequest, match="Several trust records"):
        exchanged(world, text)
    assert caller_of(world, exchanged(world, text, organization=AURORA).text).organization == AURORA
    assert (
        caller_of(world, exchanged(world, issuer.token(), trust_record=other).text).organization == "birch-university"
    )
    later = issuer.token()
    assert session(world, later, mine).organization == AURORA
    with pytest.raises(NotTrusted):
        session(world, later, other)


def test_fewer_scopes_may_be_asked_for(sqlite_world: World, issuer: Issuer) -> None:
    """Never others."""
    world = sqlite_world
    trusting(world, issuer)
    text = issuer.token()
    for scopes in ({Scope.LOG_READ}, {Scope.STAGES_READ, Scope.CHECKPOINTS_PUBLISH}, set()):
        with pytest.raises(InvalidRequest):
            exchanged(world, text, scopes=scopes)
    assert exchanged(world, text, scopes={Scope.STAGES_READ}).token.scopes == "stages:read"


def test_a_trust_record_has_networks(sqlite_world: World, issuer: Issuer) -> None:
    """From elsewhere nothing is exchanged, and the token works from there alone."""
    world = sqlite_world
    trusting(world, issuer, networks=["192.0.2.0/24"])
    text = issuer.token()
    with pytest.raises(NetworkNotAllowed):
        exchanged(world, text)
    made = exchanges.exchange(world.use, replace(STRANGER, address="192.0.2.7"), text, Wish())
    assert made.token.networks == "192.0.2.0/24"
    with pytest.raises(NetworkNotAllowed):
        caller_of(world, made.text)


def test_a_revoked_trust_record_ends_everything(world: World, issuer: Issuer) -> None:
    """What was exchanged under it stops at once, and nothing more is."""
    number = trusting(world, issuer)
    made, held = exchanged(world, issuer.token()), session(world, text := issuer.token())
    trust_records.revoke(world.use, world.person("cleared"), number)
    with pytest.raises(InvalidCredentials, match="revoked"):
        caller_of(world, made.text)
    with pytest.raises(InvalidCredentials, match="revoked"):
        issuing.issue(world.use, held, world.order())
    with pytest.raises(InvalidCredentials, match="revoked"):
        session(world, text)
    with pytest.raises(NotTrusted):
        exchanged(world, issuer.token())
    with pytest.raises(NotPossible):
        trust_records.revoke(world.use, world.person("cleared"), number)


def test_a_revoke_among_exchanges_leaves_nothing_that_works(world: World, issuer: Issuer) -> None:
    """Whatever was exchanged at that moment: it came before, and ended with it, or it did not come."""
    number = trusting(world, issuer)
    texts, made = [issuer.token() for _ in range(24)], list[str]()

    def show(text: str) -> None:
        try:
            made.append(exchanged(world, text).text)
        except NotTrusted:
            return

    with ThreadPoolExecutor(6) as pool:
        shown = [pool.submit(show, text) for text in texts[:12]]
        revoked = pool.submit(trust_records.revoke, world.use, world.person("cleared"), number)
        shown += [pool.submit(show, text) for text in texts[12:]]
        for each in (*shown, revoked):
            each.result()
    assert 0 < len(made) < len(texts)
    for text in made:
        with pytest.raises(InvalidCredentials, match="revoked"):
            caller_of(world, text)
    kinds = [entry.kind for entry in world.entries() if entry.kind in {"token.exchange", "trust_record.revoke"}]
    assert kinds == ["token.exchange"] * len(made) + ["trust_record.revoke"]


def test_a_trust_record_ends(sqlite_world: World, issuer: Issuer) -> None:
    """With its last day."""
    world = sqlite_world
    trusting(world, issuer, ends_at=world.clock() + timedelta(hours=2))
    held, at = session(world, text := issuer.token(exp=int(world.clock().timestamp()) + 20 * 3600)), world.clock()
    assert held.token_expires_at is not None
    assert held.token_expires_at - at <= timedelta(hours=2)
    world.clock.advance(timedelta(hours=2))
    with pytest.raises(InvalidCredentials, match="expired"):
        session(world, text)
    with pytest.raises(NotTrusted):
        exchanged(world, issuer.token())


def _disabled(world: World) -> None:
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    people.disable(world.use, world.admin, OWNER)


def _demoted(world: World) -> None:
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    people.change_role(world.use, world.admin, OWNER, Role.MEMBER)


def _suspended(world: World) -> None:
    holds.place(world.use, world.admin, f"organization:{AURORA}", "As a test wants it.")


@cases(
    ("act", "refused"),
    [(_disabled, PersonDisabled), (_demoted, NotPermitted), (_suspended, OrganizationSuspended)],
    ids=["disabled", "demoted", "suspended"],
)
def test_it_acts_for_an_owner_who_still_is_one(
    world: World, issuer: Issuer, act: Callable[[World], object], refused: type[Refused]
) -> None:
    """Nothing is exchanged in the name of someone who is not, and the identity token is not used up by that."""
    trusting(world, issuer)
    held = issuer.token()
    session(world, held)
    act(world)
    before = len(world.records("token.exchange"))
    with pytest.raises(refused):
        exchanged(world, issuer.token())
    with pytest.raises((refused, InvalidCredentials)):  # disabling a person revokes their tokens
        session(world, held)
    assert len(world.records("token.exchange")) == before


def test_only_so_many_are_exchanged_under_a_trust_record(
    sqlite_world: World, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a quarter of an hour."""
    world = sqlite_world
    monkeypatch.setattr(exchanges, "EXCHANGED_AT_MOST", 2)
    trusting(world, issuer)
    for _ in range(2):
        exchanged(world, issuer.token())
    with pytest.raises(TooManyAttempts) as refused:
        exchanged(world, text := issuer.token())
    assert 0 < refused.value.retry_after_seconds <= exchanges.LIFETIME.total_seconds() + 1
    world.clock.advance(exchanges.LIFETIME)
    exchanged(world, text)


def test_a_machine_s_token_is_no_person_s(sqlite_world: World, issuer: Issuer) -> None:
    """It is neither rotated nor taken over, makes nothing, and is in no list of tokens; but it can be revoked."""
    world, owner = sqlite_world, sqlite_world.person("cleared")
    trusting(world, issuer)
    made = exchanged(world, issuer.token())
    public_id = made.token.public_id
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    with pytest.raises(NotPossible, match="made for a workload"):
        tokens.rotate(world.use, owner, public_id)
    with pytest.raises(NotPossible, match="made for a workload"):
        tokens.take_over(world.use, world.person_of(f"second@{AURORA}.example"), public_id)
    listed = world.api("GET", "/tokens?limit=200").json["items"]
    assert public_id not in {token["id"] for token in listed}
    spelled = tokens.for_hub(made.text)
    assert tokens.from_hub(spelled) == made.text
    tokens.revoke_leaked(world.use, STRANGER, made.text)
    with pytest.raises(InvalidCredentials):
        caller_of(world, made.text)
