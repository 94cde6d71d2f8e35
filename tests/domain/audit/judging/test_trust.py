"""Workloads in the log: each entry here is well formed, committed and sealed, and still `log verify` names it."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.identity import authentication, exchanges, people, tokens, trust_records
from server.domain.permissions import Role
from tests import tampering
from tests.domain.audit.test_who_acted import AURORA, OWNER, by, found
from tests.issuer import NEVER_ASKED, Issuer, exchanged, trust_nobody, trusting
from tests.world import STRANGER, World

Planting = Callable[[World, Issuer], dict[str, Any]]


def _workload(world: World, issuer: Issuer) -> Caller:
    """A workload that just got its token."""
    caller, refused = authentication.identify(world.use, exchanged(world, issuer.token()).text, STRANGER)
    assert refused is None
    return caller


def _download(world: World, issuer: Issuer) -> dict[str, Any]:
    """The record of a download by a workload."""
    issuing.issue(world.use, _workload(world, issuer), world.order())
    return world.records("download")[-1]


def _exchange(world: World, issuer: Issuer) -> dict[str, Any]:
    """The record of an exchange, with another token and another identity token."""
    exchanged(world, issuer.token())
    record = world.records("token.exchange")[-1]
    return record | {"token": "planted00000", "identity_sha256": "ab" * 32}


def _revoke(world: World) -> None:
    trust_records.revoke(world.use, world.person("cleared"), 1)


def a_download_after_its_trust_record_was_revoked(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _download(world, issuer)
    _revoke(world)
    return record


def a_download_whose_exchange_is_not_there(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _download(world, issuer)
    record["actor"]["token"] = "planted00000"
    return record


def a_download_in_another_workload_s_name(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _download(world, issuer)
    record["actor"]["workload"] = record["actor"]["workload"] | {"run": "pod another"}
    return record


def a_download_that_names_no_workload(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _download(world, issuer)
    del record["actor"]["workload"]
    return record


def a_person_s_download_that_names_a_workload(world: World, issuer: Issuer) -> dict[str, Any]:
    workload = _download(world, issuer)["actor"]["workload"]
    issuing.issue(world.use, world.caller("cleared"), world.order())
    record = world.records("download")[-1]
    record["actor"]["workload"] = workload
    return record


def a_second_exchange_of_one_identity_token(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _exchange(world, issuer)
    return record | {"identity_sha256": world.records("token.exchange")[-1]["identity_sha256"]}


def an_exchange_under_a_revoked_trust_record(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _exchange(world, issuer)
    _revoke(world)
    return record


def an_exchange_under_none(world: World, issuer: Issuer) -> dict[str, Any]:
    return _exchange(world, issuer) | {"trust_record": 99}


def an_exchange_after_the_end(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _exchange(world, issuer)
    world.clock.offset += timedelta(days=31)
    return record | {"expires_at": int(world.clock().timestamp() * 1000)}


def an_exchange_of_another_issuer(world: World, issuer: Issuer) -> dict[str, Any]:
    return _exchange(world, issuer) | {"issuer": "https://other.example.org"}


def an_exchange_of_another_subject(world: World, issuer: Issuer) -> dict[str, Any]:
    return _exchange(world, issuer) | {"subject": "someone"}


def an_exchange_for_more(world: World, issuer: Issuer) -> dict[str, Any]:
    return _exchange(world, issuer) | {"scopes": ["checkpoints:publish"]}


def an_exchange_for_everywhere(world: World, issuer: Issuer) -> dict[str, Any]:
    trusting(world, issuer, networks=["127.0.0.0/8"])
    exchanged(world, issuer.token(), trust_record=2)
    record = world.records("token.exchange")[-1]
    return record | {"token": "planted00000", "identity_sha256": "ab" * 32, "networks": []}


def an_exchange_for_longer(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _exchange(world, issuer)
    return record | {"expires_at": record["expires_at"] + 3_600_000}


def an_exchange_beyond_its_trust_record(world: World, issuer: Issuer) -> dict[str, Any]:
    trusting(world, issuer, ends_at=world.clock() + timedelta(minutes=5))
    exchanged(world, issuer.token(), trust_record=2)
    record = world.records("token.exchange")[-1]
    later = record["expires_at"] + 60_000
    return record | {"token": "planted00000", "identity_sha256": "ab" * 32, "expires_at": later}


def an_exchange_of_a_disabled_owner(world: World, issuer: Issuer) -> dict[str, Any]:
    record = _exchange(world, issuer)
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    people.disable(world.use, world.admin, OWNER)
    return record


def an_exchange_for_someone_else(world: World, issuer: Issuer) -> dict[str, Any]:
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    return _exchange(world, issuer) | by(world.person_of(f"second@{AURORA}.example"), "workload")


def _created(world: World) -> dict[str, Any]:
    return world.records("trust_record.create")[-1] | {"trust_record": 99}


def a_trust_record_by_a_member(world: World, _: Issuer) -> dict[str, Any]:
    world.add_person(AURORA, f"second@{AURORA}.example", Role.MEMBER)
    return _created(world) | by(world.person_of(f"second@{AURORA}.example"))


def a_trust_record_for_another_organization(world: World, _: Issuer) -> dict[str, Any]:
    return _created(world) | by(world.person("unsigned"))


def a_trust_record_of_nobody_in_particular(world: World, _: Issuer) -> dict[str, Any]:
    return _created(world) | {"claims": {"ref": "refs/heads/main"}}


def a_trust_record_that_publishes(world: World, _: Issuer) -> dict[str, Any]:
    return _created(world) | {"scopes": ["checkpoints:publish"]}


def a_second_trust_record_of_one_number(world: World, _: Issuer) -> dict[str, Any]:
    return _created(world) | {"trust_record": 1}


def a_second_revocation(world: World, _: Issuer) -> dict[str, Any]:
    _revoke(world)
    return world.records("trust_record.revoke")[-1]


def a_revocation_by_others(world: World, _: Issuer) -> dict[str, Any]:
    record = world.records("trust_record.create")[-1] | by(world.person("unsigned"))
    return record | {"kind": "trust_record.revoke"}


SAID: dict[Planting, tuple[EntryKind, str]] = {
    a_download_after_its_trust_record_was_revoked: (EntryKind.DOWNLOAD, "trust record 1, under which token"),
    a_download_whose_exchange_is_not_there: (EntryKind.DOWNLOAD, "with a token that the log does not know"),
    a_download_in_another_workload_s_name: (EntryKind.DOWNLOAD, "it names another workload"),
    a_download_that_names_no_workload: (EntryKind.DOWNLOAD, "it names another workload"),
    a_person_s_download_that_names_a_workload: (EntryKind.DOWNLOAD, "it names another workload"),
    a_second_exchange_of_one_identity_token: (EntryKind.TOKEN_EXCHANGE, "had been exchanged before"),
    an_exchange_under_a_revoked_trust_record: (EntryKind.TOKEN_EXCHANGE, "trust record 1 had been revoked"),
    an_exchange_under_none: (EntryKind.TOKEN_EXCHANGE, "trust record 99 was never created"),
    an_exchange_after_the_end: (EntryKind.TOKEN_EXCHANGE, "trust record 1 had expired"),
    an_exchange_of_another_issuer: (EntryKind.TOKEN_EXCHANGE, "trust record 1 trusts another issuer"),
    an_exchange_of_another_subject: (EntryKind.TOKEN_EXCHANGE, "trust record 1 trusts another subject"),
    an_exchange_for_more: (EntryKind.TOKEN_EXCHANGE, "it gives more than trust record 1 does"),
    an_exchange_for_everywhere: (EntryKind.TOKEN_EXCHANGE, "it gives more than trust record 2 does"),
    an_exchange_for_longer: (EntryKind.TOKEN_EXCHANGE, "lives longer than a workload's can"),
    an_exchange_beyond_its_trust_record: (EntryKind.TOKEN_EXCHANGE, "its token lives longer than trust record 2"),
    an_exchange_of_a_disabled_owner: (EntryKind.TOKEN_EXCHANGE, f"{OWNER}, who did it, was disabled"),
    an_exchange_for_someone_else: (EntryKind.TOKEN_EXCHANGE, "trust record 1 acts for someone else"),
    a_trust_record_by_a_member: (EntryKind.TRUST_RECORD_CREATE, "had the role member, which does not allow this"),
    a_trust_record_for_another_organization: (EntryKind.TRUST_RECORD_CREATE, "act for another organization"),
    a_trust_record_of_nobody_in_particular: (EntryKind.TRUST_RECORD_CREATE, "no claim that identifies a workload"),
    a_trust_record_that_publishes: (EntryKind.TRUST_RECORD_CREATE, "a scope that they cannot have"),
    a_second_trust_record_of_one_number: (EntryKind.TRUST_RECORD_CREATE, "trust record 1 was already created"),
    a_second_revocation: (EntryKind.TRUST_RECORD_REVOKE, "trust record 1 had been revoked"),
    a_revocation_by_others: (EntryKind.TRUST_RECORD_REVOKE, "they cannot revoke trust record 1"),
}


@pytest.mark.parametrize("planting", SAID, ids=lambda planting: planting.__name__)
def test_what_was_not_allowed_is_named(sqlite_world: World, issuer: Issuer, planting: Planting) -> None:
    """Planted past every rule, with its columns as they should be."""
    world = sqlite_world
    assert trusting(world, issuer) == 1
    kind, sentence = SAID[planting]
    record = {name: value for name, value in planting(world, issuer).items() if name not in {"time", "kind", "version"}}
    number = world.plant(kind, record, AURORA)
    told = [said for row, said in found(world) if row == world.name_of(number)]
    assert any(sentence in said for said in told), told


COPIED = (
    "INSERT INTO trust_records SELECT 99, organization_id, person_id, name, issuer, audience, claims, scopes, "
    "networks, created_at, expires_at, revoked_at, NULL FROM trust_records"
)
CHANGED: dict[str, tuple[str, str, str]] = {
    "an audience": ("UPDATE trust_records SET audience = 'x'", "trust records 1", "its audience differs from the log"),
    "an issuer": ("UPDATE trust_records SET issuer = 'x'", "trust records 1", "its issuer differs from the log"),
    "claims": (
        """UPDATE trust_records SET claims = '{"ref": "x"}'""", "trust records 1", "its claims differs from the log"),
    "scopes": ("UPDATE trust_records SET scopes = 'log:read'", "trust records 1", "its scopes differs from the log"),
    "a maker": ("UPDATE trust_records SET person_id = 1", "trust records 1", "its maker differs from the log"),
    "an end": (
        "UPDATE trust_records SET expires_at = '2099-01-01 00:00:00'", "trust records 1",
        "its end differs from the log",
    ),
    "a revocation": (
        "UPDATE trust_records SET revoked_at = '2026-01-01 00:00:00'", "trust records 1",
        "its revocation differs from the log",
    ),
    "another's organization": (
        "UPDATE trust_records SET organization_id = 3", "trust records 1", "its organization differs from the log"),
    "a second row": (
        COPIED, "trust records 99",
        "the row exists, but is not in the log",
    ),
    "a subject": ("UPDATE workload_tokens SET subject = 'x'", "tokens {token}", "its subject differs from the log"),
    "a run": ("UPDATE workload_tokens SET run = NULL", "tokens {token}", "its run differs from the log"),
    "an identity token": (
        "UPDATE workload_tokens SET identity_sha256 = :bytes", "tokens {token}",
        "its identity token differs from the log",
    ),
    "where it comes from": ("DELETE FROM workload_tokens", "tokens {token}", "its trust record differs from the log"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_a_row_that_was_changed_is_named(sqlite_world: World, issuer: Issuer, case: str) -> None:
    """Whoever changes it by hand lets workloads in without an entry."""
    world = sqlite_world
    trusting(world, issuer)
    made = exchanged(world, issuer.token())
    assert found(world, tables=True) == []
    statement, row, sentence = CHANGED[case]
    tampering.run(world.settings.database_url, statement, **({"bytes": b"x"} if ":bytes" in statement else {}))
    world.tampered = True
    assert (row.format(token=made.token.public_id), sentence) in found(world, tables=True)


def test_all_is_well_where_nothing_was_planted(world: World, issuer: Issuer) -> None:
    """Records, exchanges, downloads and a revocation verify, with the tables; what had ended is not revoked as well."""
    trusting(world, issuer)
    _download(world, issuer)
    world.clock.advance(exchanges.LIFETIME)
    exchanged(world, issuer.token())
    _revoke(world)
    trusting(world, issuer)
    exchanged(world, issuer.token())
    world.clock.advance(exchanges.LIFETIME)
    exchanged(world, issuer.token())
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)
    people.disable(world.use, world.admin, OWNER)
    assert found(world, tables=True) == []


def _promoted(world: World, _: Issuer) -> None:
    """A member whom SQL made an owner creates a record, by the real command, which reads the table."""
    email = f"second@{AURORA}.example"
    world.add_person(AURORA, email, Role.MEMBER)
    tampering.run(world.settings.database_url, "UPDATE people SET role = 'owner' WHERE email = :email", email=email)
    world.example.people["second"] = {"email": email}
    trusting(world, NEVER_ASKED, by="second")


def _revived(world: World, issuer: Issuer) -> None:
    """A revoked record that SQL brought back: a workload gets a token, and downloads."""
    _revoke(world)
    tampering.run(world.settings.database_url, "UPDATE trust_records SET revoked_at = NULL")
    issuing.issue(world.use, _workload(world, issuer), world.order())


def _replayed(world: World, issuer: Issuer) -> None:
    """An identity token that SQL let be forgotten is exchanged once more."""
    text = issuer.token()
    exchanged(world, text)
    tampering.run(world.settings.database_url, "DELETE FROM workload_tokens")
    exchanged(world, text)


def _slipped_in(world: World, issuer: Issuer) -> None:
    """A workload's token that SQL alone made: its exchange is not in the log."""
    exchanged(world, issuer.token())
    text = tokens.render("planted00000", b"x" * 32, tokens.SHORT_PREFIX)
    tampering.run(
        world.settings.database_url,
        "INSERT INTO tokens (id, public_id, secret_sha256, organization_id, person_id, name, scopes, networks, "
        "created_at, expires_at, of_machine) SELECT 999, 'planted00000', :hashed, organization_id, person_id, name, "
        "scopes, networks, created_at, expires_at, of_machine FROM tokens ORDER BY id DESC LIMIT 1",
        hashed=hashlib.sha256(text.encode()).digest(),
    )
    caller, _ = authentication.identify(world.use, text, STRANGER)
    issuing.issue(world.use, caller, world.order())


BY_SQL: dict[Callable[[World, Issuer], None], list[str]] = {
    _promoted: ["had the role member, which does not allow this"],
    _revived: ["trust record 1 had been revoked", "trust record 1, under which token"],
    _replayed: ["its identity token had been exchanged before"],
    _slipped_in: ["it was done with a token that the log does not know"],
}


@pytest.mark.parametrize("act", BY_SQL, ids=lambda act: act.__name__)
def test_what_sql_made_possible_is_named(
    sqlite_world: World, issuer: Issuer, act: Callable[[World, Issuer], None]
) -> None:
    """The server believed its tables; the log does not."""
    world = sqlite_world
    trusting(world, issuer)
    if act is _promoted:
        trust_nobody(world)
    world.tampered = True
    act(world, issuer)
    told = [said for _, said in found(world)]
    for sentence in BY_SQL[act]:
        assert any(sentence in said for said in told), told
