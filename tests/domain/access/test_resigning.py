"""Signing again: who signed the version before keeps access for a time, and is told; then only who signed has it."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from server.domain.access import counting_signatures, resigning, rule, signatures
from server.domain.access.facts import find_stage, gather
from server.domain.audit import verifying
from server.domain.downloads import issuing
from server.domain.errors import AgreementOutdated, InvalidRequest
from server.domain.mail.mails import Mail
from server.domain.release import agreements, holds
from server.domain.release.agreements import AgreementVersion
from tests.world import World, cases

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NAME, STAGE = "model-sharing", "gpt-2/774M"
AURORA, BIRCH = "aurora-institute", "birch-university"


def publish(world: World, days: int, text: str = "# New terms\n\nBe careful.\n") -> AgreementVersion:
    return agreements.publish(world.use, world.admin, NAME, text, resign_within_days=days)


def sign(world: World, partner: str = AURORA, number: int | None = None) -> int:
    return signatures.record(
        world.use, world.admin, partner, NAME, signer_name="S. Officer", signer_title="Dean",
        signed_on=date(2019, 8, 20), document_sha256="ab" * 32, before_publication=True, number=number,
    ).id  # fmt: skip


def rests_on(world: World, at: datetime | None = None) -> str | None:
    """The text that the cleared partner's access rests on at a moment; None: it is refused."""
    with world.use.database.reading() as session:
        facts = gather(session, world.caller("cleared"), find_stage(session, STAGE))
    at = at or world.clock()
    if rule.refusal(facts, at) is not None or facts.agreement is None:
        return None
    signature = counting_signatures.counting(facts.agreement, facts.signatures, at)
    assert signature is not None
    return counting_signatures.signed_sha256(facts.agreement, signature)


def current(world: World) -> str:
    with world.use.database.reading() as session:
        return agreements.find_version(session, NAME)[1].sha256


def outbox(world: World) -> list[Mail]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(Mail).where(Mail.kind == "sign_again").order_by(Mail.id)))


def to_the_end(world: World, until: datetime, before: timedelta) -> None:
    world.clock.advance(until - before - world.clock())
    world.seal()


def test_without_a_time_a_new_version_must_be_signed_at_once(world: World) -> None:
    """As it always was."""
    assert publish(world, 0).resign_until is None
    assert rests_on(world) is None
    assert "resign_until" not in world.records("agreement.publish")[-1]


def test_who_signed_the_version_before_keeps_access_for_the_time(world: World) -> None:
    """The entry of a download names the text that was signed; the last day is whole, and then it is over."""
    before = current(world)
    made = publish(world, 14)
    assert made.resign_until is not None
    assert made.resign_until.date() - world.clock().date() == 15 * DAY
    assert world.records("agreement.publish")[-1]["resign_until"] == made.resign_until.timestamp() * 1000
    assert rests_on(world) == before
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert world.records("download")[-1]["agreement_sha256"] == before
    assert rests_on(world, made.resign_until - timedelta(microseconds=1)) == before
    assert rests_on(world, made.resign_until) is None
    sign(world)
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert world.records("download")[-1]["agreement_sha256"] == made.sha256
    assert rests_on(world, made.resign_until) == made.sha256


def test_after_the_time_only_those_who_did_not_sign_are_refused(world: World) -> None:
    """A partner that signed loses nothing, one that did not is told what to do."""
    sign(world, BIRCH)
    made = publish(world, 3)
    assert made.resign_until is not None
    sign(world, BIRCH)
    to_the_end(world, made.resign_until, -HOUR)
    with pytest.raises(AgreementOutdated):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    issuing.issue(world.use, world.caller("unsigned"), world.order())


def test_neither_an_ended_signature_nor_one_of_two_versions_back_counts(world: World) -> None:
    """The time is for the version just before, and only for what the lab has not ended."""
    publish(world, 14)
    assert rests_on(world) is not None
    signatures.end(world.use, world.admin, 1)
    assert rests_on(world) is None
    again = sign(world, number=1)
    assert rests_on(world) is not None
    publish(world, 14, "# Third terms\n\nBe very careful.\n")
    assert rests_on(world) is None
    signatures.end(world.use, world.admin, again)


@cases(("name", "days"), [(NAME, -1), (NAME, 367), ("another", 1)])
def test_a_time_is_a_number_of_days_for_those_who_signed(world: World, name: str, days: int) -> None:
    """At most a year, and none for a first version, which nobody can have signed before."""
    with pytest.raises(InvalidRequest):
        agreements.publish(world.use, world.admin, name, "# Terms\n\nx\n", resign_within_days=days)


def test_owners_are_told_at_once_and_7_and_1_days_before(world: World) -> None:
    """Those who have not signed, each once; who signed meanwhile hears no more of it."""
    sign(world, BIRCH)
    with world.use.database.transaction() as session:
        session.execute(delete(Mail))
    made = publish(world, 10)
    signed = 0
    assert made.resign_until is not None
    while world.clock() < made.resign_until + DAY:
        resigning.remind(world.use)
        if len(outbox(world)) == 2 and not signed:
            signed = sign(world, BIRCH)
        world.clock.advance(8 * HOUR)
        world.seal()
    owner, other = world.person("cleared").person, world.person("unsigned").person
    last = made.resign_until.date() - DAY
    told = [(mail.recipient, (last - mail.queued_at.date()).days) for mail in outbox(world)]
    assert told == [(owner, 10), (other, 10), (owner, 7), (owner, 1)]
    assert outbox(world)[0].subject == f"Sign version 2 of model-sharing by {last:%-d %B %Y}"
    assert outbox(world)[2].subject.startswith("Not signed yet: version 2 of model-sharing, by")


def test_who_waits_for_the_lab_or_is_suspended_is_not_told(world: World) -> None:
    """There is nothing for them to do; resumed, an organization is told the nearest one."""
    sign(world, BIRCH)
    made = publish(world, 10)
    signatures.sign(
        world.use, world.person("unsigned"), NAME, made.sha256, signer_name="Una Signer", signer_title="Dean",
        statement="I sign for Birch University",
    )  # fmt: skip
    holds.place(world.use, world.admin, f"organization:{AURORA}", "A question.")
    assert resigning.remind(world.use) == 0
    world.lift(f"organization:{AURORA}")
    world.clock.advance(5 * DAY)
    assert resigning.remind(world.use) == 1
    assert outbox(world)[-1].subject.startswith("Not signed yet")
    assert resigning.remind(world.use) == 0


def plant(world: World, signature: int, **more: Any) -> None:
    """A download of the cleared partner as if it rested on a signature, past the rule."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    record = dict(world.records("download")[-1]) | {"download": "0" * 36, "signature": signature} | more
    for given in ("kind", "time", "v"):
        record.pop(given, None)
    world.plant("download", record, AURORA)


@cases("which", ["older", "late", "ended"])
def test_the_audit_names_a_download_on_a_signature_that_no_longer_counts(world: World, which: str) -> None:
    """One of two versions back, one after the time, and one that the lab ended."""
    old = current(world)
    made = publish(world, 3)
    assert made.resign_until is not None
    if which == "older":
        agreements.publish(world.use, world.admin, NAME, "# Third terms\n\nx\n", resign_within_days=3)
    if which == "ended":
        signatures.end(world.use, world.admin, 1)
    if which == "late":
        to_the_end(world, made.resign_until, -HOUR)
    sign(world)
    plant(world, 1, agreement_sha256=old)
    world.seal()
    faults = {fault.sentence for fault in world.faults()}
    assert "no signature of the agreement's current version was in force" in faults


def test_a_longer_time_in_the_table_is_a_difference(world: World) -> None:
    """Whoever gives more time behind the log's back shows."""
    publish(world, 3)
    world.seal()
    world.tampered = True
    with world.use.database.transaction() as session:
        later = world.clock() + 300 * DAY
        session.execute(update(AgreementVersion).where(AgreementVersion.number == 2).values(resign_until=later))
    result = verifying.verify(world.use, tables=True)
    assert "its time to sign again differs from the log" in {fault.sentence for one in result for fault in one.faults}
