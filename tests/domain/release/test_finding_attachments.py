"""Attachments on a real store: announced, sent, checked, saved by whoever may read the finding, and by nobody else."""

import hashlib
import urllib.request
from datetime import timedelta

import pytest

from server.domain.access import finding_releases
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.release import finding_attachments
from server.domain.release.finding_attachments import AT_MOST, FindingAttachment
from server.storage.object_parts import base64_of
from tests.attached import TABLE, announced, attached, png, sent
from tests.findings import report
from tests.world import World


def rows(world: World) -> list[FindingAttachment]:
    with world.use.database.reading() as session:
        return session.query(FindingAttachment).order_by(FindingAttachment.id).all()


def is_stored(world: World, attachment: FindingAttachment) -> bool:
    return world.use.store.head(attachment.object_key) is not None


def test_a_file_is_sent_checked_and_saved(world: World) -> None:
    """Its key in the store is ours; it is saved under a name that says what it belongs to, and never shown."""
    finding = report(world)
    made = attached(world, finding, "bias.png", png())
    assert "bias" not in made.object_key
    (record,) = world.records("finding.attach")
    assert (record["attachment"], record["sha256"]) == (made.id, hashlib.sha256(png()).hexdigest())
    url, _ = finding_attachments.open_url(world.use, world.person("cleared"), finding, made.id)
    with urllib.request.urlopen(url, timeout=20) as answer:  # our store
        assert answer.read() == png()
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="finding-{finding}-bias.png"'
    assert [record["attachment"] for record in world.records("finding.open")] == [made.id]
    assert finding_attachments.complete(world.use, world.person("cleared"), finding, made.id).id == made.id
    assert len(world.records("finding.attach")) == 1


def test_only_what_was_announced_can_be_sent(sqlite_world: World) -> None:
    """Another length, hash or type is refused by the store: all three are in the signature. So are other bytes, before
    and after the file was checked."""
    world, finding = sqlite_world, report(sqlite_world)
    slot = announced(world, finding, "counts.csv", TABLE)
    assert sent(slot, TABLE + b"more", **{"Content-Length": str(len(TABLE) + 4)}) >= 400
    assert sent(slot, TABLE, **{"Content-Type": "text/html"}) >= 400
    assert sent(slot, TABLE, **{"x-amz-checksum-sha256": base64_of(hashlib.sha256(b"x").digest())}) >= 400
    assert sent(slot, TABLE[::-1]) >= 400
    assert sent(slot, TABLE) == 200
    finding_attachments.complete(world.use, world.person("cleared"), finding, slot.attachment.id)
    assert sent(slot, TABLE[::-1]) >= 400


def test_what_is_refused_is_deleted(world: World) -> None:
    """A page under the name of a picture: neither its row nor its object stays, and it can be seen by nobody."""
    finding, page = report(world), b"<html><script>alert(1)</script>"
    slot = announced(world, finding, "a.png", page)
    assert sent(slot, page) == 200
    with pytest.raises(InvalidRequest, match="refused"):
        finding_attachments.complete(world.use, world.person("cleared"), finding, slot.attachment.id)
    assert (rows(world), is_stored(world, slot.attachment)) == ([], False)
    assert world.entries("finding.attach") == []


def test_what_was_not_sent_is_not_attached(world: World) -> None:
    """Neither shown nor saved; it can still be sent."""
    finding, caller = report(world), world.person("cleared")
    slot = announced(world, finding, "counts.csv", TABLE)
    with pytest.raises(NotPossible, match="not arrived"):
        finding_attachments.complete(world.use, caller, finding, slot.attachment.id)
    with pytest.raises(NotFound):
        finding_attachments.open_url(world.use, caller, finding, slot.attachment.id)
    with world.use.database.reading() as session:
        assert finding_attachments.attached(session, finding) == []


def test_unfinished_uploads_are_removed_after_a_day(world: World) -> None:
    """With what lies in the store of them; what is attached stays."""
    finding = report(world)
    kept = attached(world, finding)
    left = announced(world, finding, "other.csv", TABLE)
    assert sent(left, TABLE) == 200
    finding_attachments.clean(world.use)
    assert len(rows(world)) == 2
    world.clock.advance(timedelta(days=1, seconds=1))
    finding_attachments.clean(world.use)
    assert [row.id for row in rows(world)] == [kept.id]
    assert (is_stored(world, kept), is_stored(world, left.attachment)) == (True, False)


def test_others_save_what_was_released_to_them(world: World) -> None:
    """Nobody else, and nobody attaches to a finding of others, not even the lab."""
    finding = report(world, may_publish=True)
    made = attached(world, finding)
    for who in ("unsigned", "uncleared"):
        with pytest.raises(NotFound):
            finding_attachments.open_url(world.use, world.person(who), finding, made.id)
    finding_releases.release(world.use, world.admin, finding, ["birch-university"])
    for who in ("unsigned", "auditor", "admin"):
        assert finding_attachments.open_url(world.use, world.person(who), finding, made.id)
    for who, refusal in (("unsigned", NotFound), ("admin", NotFound), ("auditor", NotPermitted)):
        with pytest.raises(refusal):
            announced(world, finding, "a.csv", TABLE, world.person(who))
    assert {entry.organization_id for entry in world.entries("finding.open")} == {None}


def test_a_finding_has_a_few_attachments_of_bounded_size(sqlite_world: World) -> None:
    """Whatever is announced counts; a bad name or size is refused before anything is signed."""
    world = sqlite_world
    finding, caller = report(world), world.person("cleared")
    for name, size in (("a.zip", 1), ("a.csv", 0), ("a.csv", 50_000_001)):
        with pytest.raises(InvalidRequest):
            finding_attachments.begin(world.use, caller, finding, name, size, "0" * 64)
    for number in range(AT_MOST):
        announced(world, finding, f"{number}.csv", TABLE)
    with pytest.raises(NotPossible, match="up to 5"):
        announced(world, finding, "more.csv", TABLE)


def test_an_attachment_of_another_finding_is_not_there(sqlite_world: World) -> None:
    """Its number alone opens nothing."""
    world = sqlite_world
    made, other = attached(world, report(world)), report(world, title="Another")
    with pytest.raises(NotFound):
        finding_attachments.open_url(world.use, world.person("cleared"), other, made.id)


def test_without_a_key_there_are_no_attachments(sqlite_world: World) -> None:
    """An instance that was made before them goes on, and says so."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"findings_key_file": None})
    with pytest.raises(NotPossible, match="takes no attachments"):
        announced(world, report(world), "a.csv", TABLE)
    finding_attachments.clean(world.use)
