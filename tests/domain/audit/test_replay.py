"""The audit: an entry that was written past the rule is found, by its sentence; what the rule allows is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from server.domain.access import clearances, signatures
from server.domain.audit import logs, replay
from server.domain.audit.judging.world import JudgedByNothing
from server.domain.audit.replay import BACK, Replay
from server.domain.downloads import issuing
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.release import agreements, holds
from server.domain.release.holds import EVERYTHING
from server.domain.release.stages import StageState
from server.log.entries import LogEntry
from server.log.verification import Fault
from tests import tampering
from tests.world import World

Record = dict[str, Any]
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
NOW = 1_800_000_000_000
SHA = {1: "a" * 64, 2: "b" * 64}

SUSPENDED = "dover, whose dora@dover.example did it, was suspended"
NOT_PROPOSED = "its clearance was not approved"
NO_CLEARANCE = "it names no clearance that the log knows"
NO_SIGNATURE = "no signature of the agreement's current version was in force"
NOT_IN_FORCE = "its clearance was not in force at that time"
OTHERS = "its clearance is for another organization or model"
ONE_PERSON = "it was proposed and approved by the same person"
TOO_LOW = "its clearance has a tier that is too low"


PEOPLE = {
    "pia@lab.example": ("lab", "publisher"),
    "dora@dover.example": ("dover", "owner"),
    "mo@dover.example": ("dover", "member"),
    "iris@aurora.example": ("aurora", "owner"),
}


def entry(kind: str, person: str = "ada@lab.example", time: int = NOW, about: str | None = None, **more: Any) -> Record:
    home, _ = PEOPLE.get(person, ("lab", "admin"))
    told = {} if about is None else {"person": about}
    return {"kind": kind, "time": time, "actor": {"person": person, "organization": home, "via": "cli"}, **told, **more}


def identity(kind: str, person: str, number: int = 1, subject: str = "1") -> Record:
    told: dict[str, Any] = {
        "identity": number,
        "issuer": "https://sso.example",
        "subject": subject,
        "role": PEOPLE[person][1],
    }
    return entry(f"person.identity_{kind}", person, about=person, **told)


def clearance(kind: str, number: int = 1, person: str = "ada@lab.example", **more: Any) -> Record:
    said: dict[str, Any] = {
        "organization": "dover",
        "model": "gpt",
        "tier": "research",
        "starts_at": NOW,
        "expires_at": NOW + DAY,
    }
    return entry(kind, person, clearance=number, **said | more)


def download(time: int = NOW, **more: Any) -> Record:
    authority = {"clearance": 1, "agreement_sha256": SHA[1], "signature": 1}
    actor = {"person": "dora@dover.example", "organization": "dover", "via": "session"}
    return {"kind": "download", "time": time, "actor": actor, "model": "gpt", "stage": "large"} | authority | more


BEGINNING = [
    {
        "kind": "instance.begin",
        "time": NOW,
        "actor": {"via": "cli"},
        "organization": "lab",
        "admins": ["ada@lab.example", "ben@lab.example"],
    },
    *(entry("organization.add", organization=slug) for slug in ("dover", "aurora")),
    *(entry("person.add", about=email, organization=home, role=role) for email, (home, role) in PEOPLE.items()),
    *(
        entry("tier.add", tier=tier, rank=rank)
        for tier, rank in (("registered", 10), ("research", 20), ("partner", 30))
    ),
    entry("agreement.publish", agreement="sharing", sha256=SHA[1]),
    entry("stage.add", stage="gpt/large", tier="research", agreement="sharing"),
    entry("stage.move", stage="gpt/large", before="planned", to="partners"),
    clearance("clearance.propose"),
    clearance("clearance.approve", person="ben@lab.example"),
    entry("signature.record", signature=1, organization="dover", agreement_sha256=SHA[1]),
]


def faults(*more: Record, begin: list[Record] = BEGINNING, second_person_tier: str = "research") -> list[str]:
    """What is found in the entries after a beginning that is allowed."""
    replay = Replay(second_person_tier)
    assert [sentence for record in begin for sentence in replay.take(record)] == []
    return [sentence for record in more for sentence in [*replay.take(record), *([BACK] if replay.is_back else [])]]


MOVED = entry("stage.move", stage="gpt/large", before="partners", to="public")
ALLOWED: dict[str, list[Record]] = {
    "an identity linked, removed and linked to another": [
        identity("link", "dora@dover.example"),
        identity("unlink", "dora@dover.example"),
        identity("link", "mo@dover.example", 2),
    ],
    "an alarm about a link": [entry("alarm", alarm="foreign_address")],
    "a download": [download()],
    "at the clearance's first and last moment": [download(NOW), download(NOW + DAY - 1)],
    "of a public stage by anybody": [
        MOVED,
        {"kind": "download", "time": NOW, "actor": {"via": "anonymous"}, "model": "gpt", "stage": "large"},
    ],
    "after a hold": [entry("hold.place", on="gpt"), entry("hold.lift", on="gpt"), download()],
    "beside a hold": [entry("hold.lay", on="gpt/small"), download()],
    "after a suspension": [entry(f"organization.{act}", organization="dover") for act in ("suspend", "resume")]
    + [download()],
    "beside a suspension": [entry("organization.suspend", organization="aurora"), download()],
    "under a clearance of a higher tier": [
        clearance("clearance.propose", 2, tier="partner"),
        clearance("clearance.approve", 2, person="ben@lab.example", tier="partner"),
        download(clearance=2),
    ],
    "under the newest agreement": [
        entry("agreement.publish", agreement="sharing", sha256=SHA[2]),
        entry("signature.record", signature=2, organization="dover", agreement_sha256=SHA[2]),
        download(agreement_sha256=SHA[2], signature=2),
    ],
    "a signature that the lab countersigned": [
        entry("signature.sign", "dora@dover.example", signature=2, organization="dover", agreement_sha256=SHA[1]),
        entry("signature.countersign", signature=2, organization="dover", agreement_sha256=SHA[1]),
        download(signature=2),
    ],
    "of a stage without an agreement": [
        entry("stage.add", stage="gpt/open", tier="research"),
        entry("stage.move", stage="gpt/open", before="planned", to="partners"),
        download(stage="open", agreement_sha256=None, signature=-1),
    ],
    "a planned stage within the lab": [
        entry("stage.add", stage="gpt/next", tier="research"),
        clearance("clearance.propose", 2, organization="lab"),
        clearance("clearance.approve", 2, person="ben@lab.example", organization="lab"),
        download(stage="next", clearance=2, actor={"person": "pia@lab.example", "organization": "lab", "via": "cli"}),
    ],
    "a clearance of a low tier by one person": [
        clearance("clearance.propose", 2, tier="registered"),
        clearance("clearance.approve", 2, tier="registered"),
    ],
    "an edit of what is only said": [entry("stage.edit", stage="gpt/large", before={}, after={"note": "Known."})],
    "a planned stage moved to another tier": [
        entry("stage.add", stage="gpt/next", tier="partner", agreement="sharing"),
        entry("stage.edit", stage="gpt/next", before={"tier": "partner"}, after={"tier": "research"}),
        entry("stage.move", stage="gpt/next", before="planned", to="partners"),
        download(stage="next"),
    ],
    "clocks that differ by a minute": [
        entry("heartbeat", time=NOW + MINUTE),
        entry("heartbeat", time=NOW),
        entry("heartbeat"),
    ],
}

DENIED: dict[str, tuple[list[Record], list[str]]] = {
    "no such stage": ([download(stage="other")], ["it issues a stage that was never added"]),
    "a hold on the stage": ([entry("hold.place", on="gpt/large"), download()], ["it issues a stage that is on hold"]),
    "a hold on the model": ([entry("hold.place", on="gpt"), download()], ["it issues a stage that is on hold"]),
    "a hold on everything": ([entry("hold.place", on=EVERYTHING), download()], ["it issues a stage that is on hold"]),
    "a hold on a public stage": (
        [MOVED, entry("hold.place", on=EVERYTHING), download()], ["it issues a stage that is on hold"]),
    "suspended": ([entry("organization.suspend", organization="dover"), download()],
                  [SUSPENDED]),
    "an edit that opens": (
        [entry("stage.edit", stage="gpt/large", before={"tier": "research"}, after={"tier": "registered"})],
        ["it changes the tier of a stage that is partners"]),
    "an edit of nothing": ([entry("stage.edit", stage="gpt/none", before={}, after={"note": "x"})],
                           ["it is about a stage that was never added"]),
    "withdrawn": ([entry("stage.move", stage="gpt/large", before="partners", to="withdrawn"), download()],
                  ["it issues a withdrawn stage"]),
    "not released": ([entry("stage.add", stage="gpt/next", tier="research"),
                      download(stage="next", agreement_sha256=None)], ["it issues a stage that was not released"]),
    "no clearance": ([download(clearance=2)], [NO_CLEARANCE]),
    "a clearance that is not named": ([{key: value for key, value in download().items() if key != "clearance"}],
                                      [NO_CLEARANCE]),
    "another's clearance": (
        [clearance("clearance.propose", 2, organization="aurora"),
         clearance("clearance.approve", 2, person="ben@lab.example", organization="aurora"), download(clearance=2)],
        [OTHERS]),
    "another model's clearance": (
        [clearance("clearance.propose", 2, model="mini"),
         clearance("clearance.approve", 2, person="ben@lab.example", model="mini"), download(clearance=2)], [OTHERS]),
    "nobody's download": ([download(actor={"via": "anonymous"})], [OTHERS, NO_SIGNATURE]),
    "not approved": ([clearance("clearance.propose", 2), download(clearance=2)], [NOT_PROPOSED]),
    "revoked": ([clearance("clearance.revoke"), download()], ["its clearance had been revoked"]),
    "before it began": ([download(NOW - 1)], [NOT_IN_FORCE]),
    "after it ended": ([download(NOW + DAY)], [NOT_IN_FORCE]),
    "too low a tier": (
        [clearance("clearance.propose", 2, tier="registered"),
         clearance("clearance.approve", 2, person="ben@lab.example", tier="registered"), download(clearance=2)],
        [TOO_LOW]),
    "a tier that nobody defined": (
        [clearance("clearance.propose", 2, tier="other"),
         clearance("clearance.approve", 2, person="ben@lab.example", tier="other"), download(clearance=2)], [TOO_LOW]),
    "no signature": ([download(signature=2)], [NO_SIGNATURE]),
    "a signature that ended": ([entry("signature.end", signature=1), download()], [NO_SIGNATURE]),
    "another's signature": (
        [entry("signature.record", signature=2, organization="aurora", agreement_sha256=SHA[1]),
         download(signature=2)], [NO_SIGNATURE]),
    "other words than were signed": ([download(agreement_sha256=SHA[2])], [NO_SIGNATURE]),
    "words that were replaced": (
        [entry("agreement.publish", agreement="sharing", sha256=SHA[2]), download()], [NO_SIGNATURE]),
    "new words that were not signed": (
        [entry("agreement.publish", agreement="sharing", sha256=SHA[2]), download(agreement_sha256=SHA[2])],
        [NO_SIGNATURE]),
    "one person twice": ([clearance("clearance.propose", 2), clearance("clearance.approve", 2)], [ONE_PERSON]),
    "nobody's approval": (
        [clearance("clearance.propose", 2), clearance("clearance.approve", 2) | {"actor": {"via": "cli"}}],
        ["it names no person who did it"]),
    "one person for a higher tier": (
        [clearance("clearance.propose", 2, tier="partner"), clearance("clearance.approve", 2, tier="partner")],
        [ONE_PERSON]),
    "an approval of nothing": ([clearance("clearance.approve", 2)],
                               ["it approves a clearance that was never proposed"]),
    "a revocation of nothing": ([clearance("clearance.revoke", 2)], ["it revokes a clearance that was never proposed"]),
    "a signature that waits": (
        [entry("signature.sign", "dora@dover.example", signature=2, organization="dover", agreement_sha256=SHA[1]),
         download(signature=2)],
        [NO_SIGNATURE]),
    "a countersignature of nothing": (
        [entry("signature.countersign", signature=2, organization="dover", agreement_sha256=SHA[1])],
        ["it countersigns a signature that was never given"]),
    "a countersignature after it was declined": (
        [entry("signature.sign", "dora@dover.example", signature=2, organization="dover", agreement_sha256=SHA[1]),
         entry("signature.decline", signature=2),
         entry("signature.countersign", signature=2, organization="dover", agreement_sha256=SHA[1])],
        ["it countersigns a signature that was never given"]),
    "a decline of nothing": (
        [entry("signature.decline", signature=2)], ["it declines a signature that was never given"]),
    "an end of nothing": ([entry("signature.end", signature=2)], ["it ends a signature that was never recorded"]),
    "an end that came twice": ([entry("signature.end", signature=1)] * 2,
                               ["it ends a signature that was never recorded"]),
    "a move of nothing": ([entry("stage.move", stage="gpt/other", before="planned", to="public")],
                          ["it moves a stage from a state that it was not in"]),
    "a move from elsewhere": ([entry("stage.move", stage="gpt/large", before="planned", to="public")],
                              ["it moves a stage from a state that it was not in"]),
    "an identity of two people": (
        [identity("link", "dora@dover.example"), identity("link", "mo@dover.example", 2)],
        ["the identity was already linked to dora@dover.example"]),
    "a second identity at one provider": (
        [identity("link", "dora@dover.example"), identity("link", "dora@dover.example", 2, subject="2")],
        ["dora@dover.example already had an identity at https://sso.example"]),
    "an identity that somebody else linked": (
        [identity("link", "dora@dover.example") | {"actor": entry("", "mo@dover.example")["actor"]}],
        ["nobody can change how someone else signs in"]),
    "another one under the same number": (
        [identity("link", "dora@dover.example"), identity("link", "mo@dover.example", subject="2")],
        ["it refers to an identity by a number that is taken"]),
    "an identity removed that was not linked": (
        [identity("unlink", "dora@dover.example")], ["it removes an identity that was not linked"]),
    "another identity removed than was linked": (
        [identity("link", "dora@dover.example"), identity("unlink", "dora@dover.example", subject="2")],
        ["it removes an identity that was not linked"]),
    "a kind that there is not": ([{"kind": "test", "time": NOW}], ["its kind test is unknown"]),
    "a ghost read": ([entry("alarm", alarm="ghost_read")], [replay.GHOST_READ]),
    "time that went back": ([entry("heartbeat", time=NOW + MINUTE + 1), entry("heartbeat")],
                            [BACK]),
    "time that went back step by step": (
        [entry("heartbeat", time=NOW + minutes * MINUTE) for minutes in (2, 1, 0)],
        [BACK]),
}  # fmt: skip


@pytest.mark.parametrize("what", ALLOWED)
def test_what_the_rule_allows_is_no_fault(what: str) -> None:
    """The audit cries at nothing that the entries before explain."""
    assert faults(*ALLOWED[what]) == []


@pytest.mark.parametrize("what", DENIED)
def test_what_the_rule_denies_is_named(what: str) -> None:
    """Each rule broken once, by an entry that nothing before it allows."""
    broken, sentences = DENIED[what]
    assert faults(*broken) == sentences


def test_without_the_tier_that_demands_two_everything_demands_two() -> None:
    """A threshold that nobody defined is no reason to let one person do."""
    alone = [clearance("clearance.propose", 2, tier="registered"), clearance("clearance.approve", 2, tier="registered")]
    assert faults(*alone) == []
    assert faults(*alone, second_person_tier="unheard-of") == [ONE_PERSON]


def test_every_kind_has_a_rule_or_a_reason_for_none() -> None:
    """Totality both ways: no kind without, no rule for what is none, no kind that pages cannot name."""
    assert set(replay.RULES) == set(EntryKind) == set(KINDS)
    assert all(about.words[0].isupper() for about in KINDS.values())
    reasons = [rule.because for rule in replay.RULES.values() if isinstance(rule, JudgedByNothing)]
    assert all(because.startswith("because ") for because in reasons)


def test_what_decides_who_may_is_kept() -> None:
    """Whatever moves the world on that others are judged by cannot be erased: found by replaying each kind's entry."""
    moved = set()
    for records, _ in [*DENIED.values(), *((records, None) for records in ALLOWED.values())]:
        world = Replay("research")
        for record in [*BEGINNING, *records]:
            before = repr(replace(world, last_ms=0))
            list(world.take(record))
            if repr(replace(world, last_ms=0)) != before:
                moved.add(record["kind"])
    assert moved <= replay.JUDGING


# On a log that real commands wrote ------------------------------------------------------------------------------------


def found(world: World) -> list[Fault]:
    with world.use.database.reading() as session:
        return list(replay.verify(session, logs.current(session), world.settings.second_person_tier))


def write(world: World, record: Record, at: timedelta = timedelta(0)) -> int:
    """Append an entry past every rule; returns its id."""
    world.clock.offset += at
    by = record.get("actor", {}).get("organization")
    try:
        return world.plant(record["kind"], record, by if record["kind"] == "download" else None)
    finally:
        world.clock.offset -= at


ACTS: dict[str, tuple[Callable[[World], object], str]] = {
    "revoke": (lambda world: clearances.revoke(world.use, world.admin, 1), "its clearance had been revoked"),
    "suspend": (lambda world: holds.place(world.use, world.admin, "organization:aurora-institute", "Asked to."),
                "aurora-institute, whose owner@aurora-institute.example did it, was suspended"),
    "hold": (lambda world: holds.place(world.use, world.admin, "gpt-2/774M", "Wait."),
             "it issues a stage that is on hold"),
    "hold all": (lambda world: holds.place(world.use, world.admin, EVERYTHING, "Wait."),
                 "it issues a stage that is on hold"),
    "end": (lambda world: signatures.end(world.use, world.admin, 1), NO_SIGNATURE),
    "new words": (lambda world: agreements.publish(world.use, world.admin, "model-sharing", "Other words.\n"),
                  NO_SIGNATURE),
    "withdraw": (lambda world: world.move("gpt-2/774M", StageState.WITHDRAWN, "It leaked."),
                 "it issues a withdrawn stage"),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_a_download_that_was_written_past_a_real_act_is_named(sqlite_world: World, act: str) -> None:
    """The same record, once before the act and once after it: only the second one is a fault, sealed or not."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    (record,) = world.records("download")
    take_away, sentence = ACTS[act]
    take_away(world)
    assert found(world) == []
    forged = write(world, record)
    assert found(world) == [Fault(world.name_of(forged), sentence)]
    world.seal()
    assert found(world) == [Fault(world.name_of(forged), sentence)]


def test_the_order_of_the_tree_counts(world: World) -> None:
    """Not that of the ids; and what waits comes after all that is sealed."""
    world.seal()
    later = write(world, {"kind": "heartbeat"}, timedelta(minutes=5))
    now = write(world, {"kind": "heartbeat"})
    back = "its time is more than a minute before that of an entry sealed earlier"
    assert found(world) == [Fault(world.name_of(now), back)]
    size = len(world.entries()) - 2
    url = world.settings.database_url
    tampering.run(url, f"UPDATE log_entries SET leaf_index = {size + 1} WHERE id = {later}")  # noqa: S608
    tampering.run(url, f"UPDATE log_entries SET leaf_index = {size} WHERE id = {now}")  # noqa: S608
    assert found(world) == []


@pytest.mark.parametrize(
    "record",
    [b"{}", b"[]", b"no JSON", b'{"kind":"download","time":1800000000000}', b'{"kind":"test","time":"now"}',
     b'{"kind":"clearance.approve","time":4000000000000,"clearance":1,"actor":"ada"}',
     b'{"kind":"tier.add","time":4000000000000,"tier":[],"rank":1}'],
)  # fmt: skip
def test_a_record_without_sense_is_named_and_does_not_end_the_audit(sqlite_world: World, record: bytes) -> None:
    """Whoever can write entries can write anything: what comes after it is still looked at."""
    world = sqlite_world
    odd = write(world, {"kind": "heartbeat"})
    tampering.run(world.settings.database_url, f"UPDATE log_entries SET record = :new WHERE id = {odd}", new=record)  # noqa: S608
    last = write(world, {"kind": "signature.end", "signature": 99})
    faults = found(world)
    assert list(dict.fromkeys(fault.row for fault in faults)) == [world.name_of(odd), world.name_of(last)]
    assert Fault(world.name_of(odd), "its record does not have the fields of its kind") in faults


def test_an_entry_that_was_emptied_says_nothing(sqlite_world: World) -> None:
    """Whether it may be empty is for the bytes' verification; the audit goes on after it."""
    world = sqlite_world
    world.seal()
    world.tampered = True
    tampering.run(
        world.settings.database_url, "UPDATE log_entries SET record = x'', salt = x'' WHERE kind = 'token.create'"
    )
    assert found(world) == []
    with world.use.database.reading() as session:
        ids = {row.id for part in replay._parts(session, logs.current(session)) for row in part if row.record}
        emptied = {row.id for row in session.query(LogEntry).filter_by(kind="token.create")}
    assert emptied
    assert ids.isdisjoint(emptied)


def test_records_come_in_parts_without_loss(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few are read at once, each comes once, in the tree's order."""
    world = sqlite_world
    world.seal()
    write(world, {"kind": "heartbeat"})
    world.tampered = False
    expected = [(row.id, orjson.loads(row.record)) for row in world.entries()]
    for size in (1, 7, len(expected) - 1, len(expected)):
        monkeypatch.setattr(replay, "ROWS_AT_ONCE", size)
        with world.use.database.reading() as session:
            rows = [row for part in replay._parts(session, logs.current(session)) for row in part]
            read = [(row.id, orjson.loads(row.record)) for row in rows]
        assert read == expected
