"""Suspicions: each rule raises its alarm for what should not have been read, and for nothing beside it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from server.domain.access import clearances, signatures
from server.domain.audit import erasure
from server.domain.callers import Caller
from server.domain.delivery import decoys, reconciliation, suspicions
from server.domain.delivery.suspicions import network_of
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.domain.identity import authentication, organizations, people, tokens, trust_records
from server.domain.identity.organizations import Organization
from server.domain.permissions import Role
from server.domain.release import holds
from server.domain.release.stages import StageState
from server.storage.access_logs import Read
from tests.access_log_lines import S3Words, Wanted, read_of, s3_line, write_log
from tests.issuer import Issuer, exchanged, trusting
from tests.world import STRANGER, World

FOREIGN, GHOST, AFTER, OVER = "foreign_address", "ghost_read", "used_after_revocation", "over_read"


def issue(world: World, caller: Caller | None = None, stage: str = "gpt-2/774M") -> Download:
    order = world.order(stage, paths=["hparams.json", "vocab.bpe"])
    return issuing.issue(world.use, caller or world.caller("cleared"), order)


def raised(world: World, folder: Path, *lines: Wanted, words: S3Words | None = None) -> list[str]:
    """Reconcile lines and return the kinds of the new alarms, sorted."""
    name = write_log(folder / "log", lines, lambda wanted: s3_line(wanted, words or S3Words()))
    return sorted(reconciliation.reconcile(world.use, [name]).alarms.elements())


def change_networks(world: World, *networks: str) -> None:
    organizations.set_networks(world.use, world.admin, "aurora-institute", networks)


@pytest.mark.parametrize(("networks", "address", "alarms"), [
    ((), "127.0.0.255", []),
    ((), "127.0.1.1", [FOREIGN]),
    ((), "::ffff:127.0.0.9", []),
    ((), "2001:db8::1", [FOREIGN]),
    ((), "-", []),
    (("192.0.2.0/24", "2001:db8:7::/48"), "192.0.2.200", []),
    (("192.0.2.0/24", "2001:db8:7::/48"), "2001:db8:7:ffff::1", []),
    (("192.0.2.0/24", "2001:db8:7::/48"), "127.0.0.1", [FOREIGN]),
    (("192.0.2.0/24",), "not an address", [FOREIGN]),
])  # fmt: skip
def test_a_fetch_from_elsewhere(
    sqlite_world: World, tmp_path: Path, networks: tuple[str, ...], address: str, alarms: list[str]
) -> None:
    """Registered networks count alone; where there are none, the /24 of whoever asked."""
    change_networks(sqlite_world, *networks)
    line = read_of(issue(sqlite_world), sqlite_world.use.clock(), address=address.replace(" ", "_"))
    assert raised(sqlite_world, tmp_path, line) == alarms


@pytest.mark.parametrize(("address", "alarms"), [("192.0.2.200", []), ("192.0.3.1", [FOREIGN])])
def test_an_organization_s_networks_of_before_are_found(
    world: World, tmp_path: Path, address: str, alarms: list[str]
) -> None:
    """A row that holds IPv4 in IPv6's clothes raises no alarm for its own addresses."""
    world.tampered = True
    with world.use.database.transaction() as session:
        session.execute(update(Organization).values(networks="::ffff:192.0.2.0/120"))
    assert raised(world, tmp_path, read_of(issue(world), world.use.clock(), address=address)) == alarms


@pytest.mark.parametrize(("address", "alarms"), [("2001:db8:7:1::5", []), ("2001:db8:8::1", [FOREIGN]),
                                                 ("192.0.2.3", [FOREIGN])])  # fmt: skip
def test_who_asked_over_ipv6_has_a_48(sqlite_world: World, tmp_path: Path, address: str, alarms: list[str]) -> None:
    """Its neighbour in it is no stranger."""
    known = sqlite_world.caller("cleared")
    caller = Caller(**{name: getattr(known, name) for name in Caller.__slots__} | {"address": "2001:db8:7:ffff::1"})
    line = read_of(issue(sqlite_world, caller), sqlite_world.use.clock(), address=address)
    assert raised(sqlite_world, tmp_path, line) == alarms


def test_who_asks_for_a_public_stage_as_nobody_has_no_network(sqlite_world: World, tmp_path: Path) -> None:
    """It is for everybody, wherever they are."""
    download = issue(sqlite_world, STRANGER, "gpt-2/124M")
    assert raised(sqlite_world, tmp_path, read_of(download, sqlite_world.use.clock(), address="198.51.100.1")) == []


@pytest.mark.parametrize("networks", [[], ["192.0.2.0/24"]])
def test_an_address_that_the_store_does_not_tell_is_no_foreign_one(
    sqlite_world: World, tmp_path: Path, networks: list[str]
) -> None:
    """`-` is how stores write it; whatever else cannot be read lies in no network."""
    change_networks(sqlite_world, *networks)
    at = sqlite_world.use.clock()
    assert raised(sqlite_world, tmp_path, read_of(issue(sqlite_world), at, address="-")) == []
    assert raised(sqlite_world, tmp_path, read_of(issue(sqlite_world), at, address="elsewhere")) == [FOREIGN]


def test_networks_are_those_of_the_address() -> None:
    """What is no address stands for itself."""
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("::ffff:192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:7:1::5") == "2001:db8:7::/48"
    assert network_of("x" * 99) == "x" * 45


GHOSTS: dict[str, Callable[[Wanted, Download], Wanted]] = {
    "no id": lambda line, _: line._replace(download_id=None),
    "an id that the log does not have": lambda line, _: line._replace(download_id="f" * 8 + line.download_id[8:]),  # type: ignore[index]
    "what is no id": lambda line, _: line._replace(download_id="everything"),
    "another key": lambda line, _: line._replace(key=line.key.replace("hparams.json", "encoder.json")),
    "a path beside it": lambda line, _: line._replace(key=line.key + "/x"),
    "before it was issued": lambda line, _: line._replace(at=line.at - timedelta(minutes=16)),
    "a day before its entry": lambda line, _: line._replace(at=line.at - timedelta(days=1)),
    "long after its end": lambda line, _: line._replace(at=line.at + timedelta(minutes=50)),
}


@pytest.mark.parametrize("ghost", GHOSTS)
def test_a_read_that_no_entry_allows(sqlite_world: World, tmp_path: Path, ghost: str) -> None:
    """A successful one is an alarm; a refused one is nothing: anyone can be refused with anything."""
    world, download = sqlite_world, issue(sqlite_world)
    line = GHOSTS[ghost](read_of(download, world.use.clock()), download)
    assert raised(world, tmp_path, line._replace(status=403)) == []
    assert raised(world, tmp_path, line._replace(address="127.0.0.1")) == [GHOST]
    (record,) = world.records("alarm")
    assert record["object_key"] == line.key


def test_copying_by_the_store_is_a_read(sqlite_world: World, tmp_path: Path) -> None:
    """Whoever has the signing key could copy a file away, and never fetch a byte of it."""
    line = read_of(issue(sqlite_world), sqlite_world.use.clock(), status=200)
    assert raised(sqlite_world, tmp_path, line, words=S3Words("REST.COPY.OBJECT_GET", "PUT")) == [GHOST]
    assert raised(sqlite_world, tmp_path, line, words=S3Words("REST.HEAD.OBJECT", "HEAD")) == []


@pytest.mark.parametrize("minutes", [-14, 0, 4, 19])
def test_clocks_may_differ(sqlite_world: World, tmp_path: Path, minutes: int) -> None:
    """By as much as a store allows; the URLs live five minutes here."""
    assert sqlite_world.settings.url_lifetime_seconds == 300
    line = read_of(issue(sqlite_world), sqlite_world.use.clock() + timedelta(minutes=minutes))
    assert raised(sqlite_world, tmp_path, line) == []


def disable(world: World) -> None:
    people.add(world.use, world.admin, "aurora-institute", "b@aurora.example", "Bo Owner", Role.OWNER)
    people.disable(world.use, world.admin, world.example.people["cleared"]["email"])


def token_id(world: World) -> str:
    found = tokens.public_id_of(world.example.tokens["cleared"])
    assert found is not None
    return found


ENDS: dict[str, tuple[Callable[[World], Any], str]] = {
    "clearance": (lambda w: clearances.revoke(w.use, w.admin, w.records("download")[0]["clearance"]),
                  "after the clearance was revoked"),
    "hold on the stage": (lambda w: holds.place(w.use, w.admin, "gpt-2/774M", "Found."), "after a hold was placed"),
    "hold on the model": (lambda w: holds.place(w.use, w.admin, "gpt-2", "Found."), "after a hold was placed"),
    "hold on all": (lambda w: holds.place(w.use, w.admin, "everything", "Found."), "after a hold was placed"),
    "organization": (lambda w: holds.place(w.use, w.admin, "organization:aurora-institute", "Asked."),
                     "after the organization was suspended"),
    "stage": (lambda w: w.move("gpt-2/774M", StageState.WITHDRAWN, "Found."),
              "after the stage was withdrawn"),
    "token": (lambda w: tokens.revoke(w.use, w.person("cleared"), token_id(w)), "the token that asked for it"),
    "leaked token": (lambda w: tokens.revoke_leaked(w.use, STRANGER, w.example.tokens["cleared"]), "revoked as leaked"),
    "signature": (lambda w: signatures.end(w.use, w.admin, w.records("download")[0]["signature"]),
                  "the signature of the agreement was ended"),
    "person": (disable, "the person who asked for it was disabled"),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_a_url_that_outlives_what_it_rested_on(sqlite_world: World, tmp_path: Path, end: str) -> None:
    """A read that begins after the act is an alarm, one before it is none; others' downloads are not touched."""
    world, act = sqlite_world, ENDS[end][0]
    download = issue(world)
    public = issue(world, STRANGER, "gpt-2/124M")
    world.clock.advance(timedelta(seconds=10))
    at = world.use.clock()
    act(world)
    assert raised(world, tmp_path, read_of(download, at - timedelta(seconds=3))) == []
    elsewhere = read_of(public, at + timedelta(seconds=3))
    touched = end in {"hold on the model", "hold on all"}
    assert raised(world, tmp_path, elsewhere) == ([AFTER] if touched else [])
    for alarms in ([AFTER], []):
        lines = [read_of(download, at + timedelta(seconds=n), bytes_sent=1) for n in (3, 60)]
        assert raised(world, tmp_path, *lines) == alarms
    record = world.records("alarm")[-1]
    assert ENDS[end][1] in record["reason"]
    assert record["download"] == download.id


def test_a_machine_s_url_that_outlives_its_trust_record(sqlite_world: World, issuer: Issuer, tmp_path: Path) -> None:
    """Revoking the record is what ended it; a URL of a person's token is not touched."""
    world = sqlite_world
    number = trusting(world, issuer)
    machine, _ = authentication.identify(world.use, exchanged(world, issuer.token()).text, STRANGER)
    download, other = issue(world, machine), issue(world)
    world.clock.advance(timedelta(seconds=10))
    trust_records.revoke(world.use, world.person("cleared"), number)
    later = world.use.clock() + timedelta(seconds=3)
    assert raised(world, tmp_path, read_of(other, later)) == []
    assert raised(world, tmp_path, read_of(download, later)) == [AFTER]
    assert "the workload that asked for it was trusted no longer" in world.records("alarm")[-1]["reason"]


def test_what_was_public_is_public_no_longer(sqlite_world: World, tmp_path: Path) -> None:
    """Once a stage is back with partners, a URL that anybody could have got is an alarm, and a partner's is none."""
    world, stage = sqlite_world, "gpt-2/124M"
    public = issue(world, STRANGER, stage)
    world.clock.advance(timedelta(seconds=10))
    world.move(stage, StageState.PARTNERS, "It is misused.")
    partner = issue(world, None, stage)
    later = world.use.clock() + timedelta(seconds=3)
    assert raised(world, tmp_path, read_of(partner, later)) == []
    assert raised(world, tmp_path, read_of(public, later)) == [AFTER]


@pytest.mark.parametrize(("after_ms", "alarms"), [(-1, []), (0, []), (1, [AFTER])])
def test_a_read_in_the_very_millisecond_of_the_end(sqlite_world: World, after_ms: int, alarms: list[str]) -> None:
    """Whoever began in it may have been first, so it is no alarm; a millisecond later it is one."""
    world, download = sqlite_world, issue(sqlite_world)
    tokens.revoke(world.use, world.person("cleared"), token_id(world))
    end_ms, key = world.records("token.revoke")[-1]["time"], download.files[0].stored.key
    with world.use.database.reading() as session:
        found = suspicions.issued(session, {download.id: {key}})[download.id]
    at_ms = end_ms + after_ms
    read = Read(b"", at_ms, "GET", 200, 1, key, "127.0.0.1", download.id, "", None, None, None)
    assert [each.kind for each in suspicions.of_group(read, [at_ms], found)] == alarms


def test_what_was_given_back_is_no_end_any_more(sqlite_world: World, tmp_path: Path) -> None:
    """Reads during a hold are an alarm, those before and after it are none; each hold is one of its own."""
    world, download = sqlite_world, issue(sqlite_world)
    start = world.use.clock()
    for _ in range(2):
        world.clock.advance(timedelta(seconds=20))
        holds.place(world.use, world.admin, "gpt-2", "Looking.")
        world.clock.advance(timedelta(seconds=20))
        world.lift("gpt-2")
    lines = [read_of(download, start + timedelta(seconds=n), bytes_sent=1) for n in (10, 50, 95)]
    assert raised(world, tmp_path, *lines) == []
    later = [read_of(download, start + timedelta(seconds=n), "vocab.bpe", bytes_sent=1) for n in (30, 35, 70)]
    assert raised(world, tmp_path, *later) == [AFTER, AFTER]


def test_an_act_that_was_erased_still_counts(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place and its moment stay, and they are all that is asked. An earlier version let such acts be erased."""
    monkeypatch.setattr(erasure, "may_be_erased", lambda _: True)
    sqlite_world.tampered = True
    world, download = sqlite_world, issue(sqlite_world)
    world.clock.advance(timedelta(seconds=10))
    tokens.revoke(world.use, world.person("cleared"), token_id(world))
    world.seal()
    entry = world.entries("token.revoke")[-1]
    place = f"{world.clock().year}/{entry.leaf_index}"
    erasure.erase(world.use, world.admin, place, "A person asked for it.")
    assert world.entries("token.revoke")[-1].record == b""
    line = read_of(download, world.use.clock() + timedelta(seconds=5))
    assert raised(world, tmp_path, line) == [AFTER]


def test_more_than_one_and_a_half_times_a_file(world: World, tmp_path: Path) -> None:
    """Summed over runs; once, however much more follows."""
    download, at = issue(world), world.use.clock()
    size = download.files[0].size_bytes
    assert raised(world, tmp_path, read_of(download, at), read_of(download, at, bytes_sent=size // 2)) == []
    assert raised(world, tmp_path, read_of(download, at, bytes_sent=1)) == [OVER]
    assert raised(world, tmp_path, read_of(download, at)) == []
    assert world.records("alarm")[0]["reason"] == (
        f"{size + size // 2 + 1} bytes of hparams.json were fetched, which has {size}."
    )


@pytest.mark.parametrize("status", [200, 206, 304, 403, 404])
def test_a_decoy_is_touched(sqlite_world: World, tmp_path: Path, status: int) -> None:
    """By whatever request, whatever the answer was."""
    key = decoys.place(sqlite_world.use, sqlite_world.admin, "gpt-2/774M", 1).object_key
    line = Wanted(sqlite_world.use.clock(), key, None, status=status)
    assert raised(sqlite_world, tmp_path, line) == ["decoy_touched"]
    assert raised(sqlite_world, tmp_path, line) == []
    assert raised(sqlite_world, tmp_path, line._replace(request_id="X", address="198.51.100.9", status=403)) == [
        "decoy_touched"
    ]


def test_every_act_has_words() -> None:
    """For whoever is on duty."""
    assert set(suspicions._WORDS) == set(suspicions._STARTS)
