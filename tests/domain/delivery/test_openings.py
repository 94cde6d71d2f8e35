"""Attachments of findings in the store's log: a read under its entry is a delivery, every other one an alarm."""

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from server.domain.access import finding_releases
from server.domain.audit import erasure
from server.domain.delivery import reconciliation
from server.domain.delivery.deliveries import Delivery
from server.domain.delivery.reconciliation import Summary
from server.domain.delivery.statistics import TrafficDay
from server.domain.downloads import issuing
from server.domain.identity import organizations
from server.domain.release import finding_attachments, holds
from server.domain.release.finding_attachments import FindingAttachment
from server.storage import keys
from tests.access_log_lines import Wanted, write_log
from tests.attached import TABLE, attached
from tests.findings import report
from tests.world import World

GHOST, FOREIGN, AFTER, OVER = "ghost_read", "foreign_address", "used_after_revocation", "over_read"


def opened(world: World, made: FindingAttachment, who: str = "cleared") -> str:
    """Open it as somebody, and return what its URL bears."""
    caller = replace(world.person(who), address="127.0.0.1")
    url, _ = finding_attachments.open_url(world.use, caller, made.finding_id, made.id)
    (name,) = parse_qs(urlsplit(url).query)["x-download-id"]
    return name


def read(world: World, made: FindingAttachment, name: str | None, **more: Any) -> Wanted:
    line = Wanted(world.use.clock(), made.object_key, name, len(TABLE), uuid.uuid4().hex, "127.0.0.1", 200)
    return line._replace(**more)


def reconciled(world: World, folder: Path, *lines: Wanted) -> Summary:
    return reconciliation.reconcile(world.use, [write_log(folder / "log", lines)])


def test_a_read_under_its_entry_is_a_delivery(world: World, tmp_path: Path) -> None:
    """Each opening for itself, once for each line; the statistics of weights know nothing of it."""
    made = attached(world, report(world))
    lines = [read(world, made, opened(world, made, who)) for who in ("cleared", "auditor")]
    first, second = reconciled(world, tmp_path, *lines), reconciled(world, tmp_path, *lines)
    assert (first.matched, first.bytes_sent, first.alarms) == (2, 2 * len(TABLE), {})
    assert (second.matched, second.duplicates, second.alarms) == (0, 2, {})
    with world.use.database.reading() as session:
        rows = session.scalars(select(Delivery)).all()
        assert sum(session.scalars(select(TrafficDay.fetched_bytes))) == 0
    path = f"attachment {made.id} of finding {made.finding_id}"
    assert [(row.path, row.bytes_sent, row.requests) for row in rows] == [(path, len(TABLE), 1)] * 2
    assert {row.download_id for row in rows} == {line.download_id for line in lines}


def test_a_url_that_no_entry_issued_raises_the_alarm(world: World, tmp_path: Path) -> None:
    """No id, one that is not in the log, a download's, and the opening of another attachment."""
    finding = report(world)
    made, other = attached(world, finding), attached(world, finding, "other.csv")
    download = issuing.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json"]))
    for place, name in enumerate((None, str(uuid.uuid4()), "finding-1-1", download.id, opened(world, other))):
        summary = reconciled(world, tmp_path, read(world, made, name, address=f"192.0.{place}.1"))
        assert (summary.unmatched, dict(summary.alarms)) == (1, {GHOST: 1}), name
    opening = read(world, made, opened(world, made))._replace(key=download.files[0].stored.key)
    assert dict(reconciled(world, tmp_path, opening).alarms) == {GHOST: 1}


def test_a_url_that_is_over_raises_the_alarm(sqlite_world: World, tmp_path: Path) -> None:
    """A quarter of an hour after its end, as far as two clocks may be apart; not before."""
    world = sqlite_world
    made = attached(world, report(world))
    name, at = opened(world, made), world.use.clock()
    ends = timedelta(seconds=world.settings.url_lifetime_seconds)
    early = read(world, made, name, at=at + ends + timedelta(minutes=14), bytes_sent=1)
    assert reconciled(world, tmp_path, early).alarms == {}
    late = read(world, made, name, at=at + ends + timedelta(minutes=16), bytes_sent=1)
    assert dict(reconciled(world, tmp_path, late).alarms) == {GHOST: 1}


def test_a_url_that_went_elsewhere_raises_the_alarm(world: World, tmp_path: Path) -> None:
    """Judged as a download's: by the networks of whoever asked, or by where they asked from."""
    made = attached(world, report(world, may_publish=True))
    finding_releases.release(world.use, world.admin, made.finding_id, ["birch-university"])
    line = read(world, made, opened(world, made, "unsigned"), address="192.0.2.9")
    assert dict(reconciled(world, tmp_path, line).alarms) == {FOREIGN: 1}
    organizations.set_networks(world.use, world.admin, "aurora-institute", ["192.0.2.0/24"])
    line = read(world, made, opened(world, made), address="192.0.2.9")
    assert reconciled(world, tmp_path, line).alarms == {}


def test_a_url_that_outlives_its_access_raises_the_alarm(world: World, tmp_path: Path) -> None:
    """The organization was suspended meanwhile; and more than a file has is more than one person reads."""
    made = attached(world, report(world))
    name = opened(world, made)
    twice = read(world, made, name, bytes_sent=2 * len(TABLE))
    assert dict(reconciled(world, tmp_path, twice).alarms) == {OVER: 1}
    world.clock.advance(timedelta(seconds=1))
    holds.place(world.use, world.admin, "organization:aurora-institute", "A leak.")
    line = read(world, made, name, at=world.use.clock() + timedelta(seconds=1))
    assert dict(reconciled(world, tmp_path, line).alarms) == {AFTER: 1}


@pytest.mark.parametrize("key_file", ["publisher_key_file", "findings_key_file"])
def test_the_server_s_own_reads_need_no_entry(sqlite_world: World, tmp_path: Path, key_file: str) -> None:
    """A backup, and the check of what was sent. The key that checks opens no checkpoint: there it is a stranger's."""
    world = sqlite_world
    made = attached(world, report(world))
    by = keys.read_s3_credentials(getattr(world.settings, key_file)).access_key_id
    summary = reconciled(world, tmp_path, read(world, made, None, by=by))
    assert (summary.own, summary.alarms) == (1, {})
    of_weights = read(world, made, None, by=by)._replace(key="checkpoints/k")
    assert reconciled(world, tmp_path, of_weights).alarms.total() == (key_file == "findings_key_file")


def test_what_was_erased_is_not_held_against_anybody(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an entry without its words nobody can say what it allowed; another finding's still raises the alarm."""
    world = sqlite_world
    monkeypatch.setattr(erasure, "may_be_erased", lambda _: True)
    world.tampered = True
    made, other = attached(world, report(world)), attached(world, report(world, title="Another"))
    names = [opened(world, each) for each in (made, other)]
    world.seal()
    entry = world.entries("finding.open")[0]
    erasure.erase(world.use, world.admin, f"{world.clock().year}/{entry.leaf_index}", "A person asked for it.")
    assert reconciled(world, tmp_path, read(world, made, names[0])).alarms == {}
    assert reconciled(world, tmp_path, read(world, other, names[1])).matched == 1
    assert reconciled(world, tmp_path, read(world, other, names[0])).alarms == {GHOST: 1}
