"""Deliveries: states by the sum of bytes, provisional until 48 hours have passed, at most twenty addresses."""

from datetime import timedelta
from pathlib import Path

import pytest

from server.domain.audit import erasure
from server.domain.delivery import deliveries, reconciliation
from server.domain.delivery.deliveries import DeliveryState, Fetched, state_of
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from tests.access_log_lines import Wanted, read_of, write_log
from tests.world import World


def issue(world: World) -> Download:
    return issuing.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json", "vocab.bpe"]))


def reconciled(world: World, folder: Path, lines: list[Wanted], download: Download) -> deliveries.DeliveriesOfDownload:
    reconciliation.reconcile(world.use, [write_log(folder / "log", lines)])
    with world.use.database.reading() as session:
        found = deliveries.of_download(session, download.id)
    assert found is not None
    return found


@pytest.mark.parametrize(("requests", "sent", "size", "state"), [
    (0, 0, 100, "unused"), (0, 0, 0, "unused"), (1, 0, 100, "partial"), (3, 99, 100, "partial"),
    (1, 100, 100, "complete"), (9, 150, 100, "complete"), (1, 151, 100, "over"), (1, 0, 0, "complete"),
    (2**40, 2**62, 2**62, "complete"),
])  # fmt: skip
def test_the_state_goes_by_bytes(requests: int, sent: int, size: int, state: str) -> None:
    """More than one and a half times the size is over; exactly that is not."""
    assert state_of(requests, sent, size) == state


def test_a_download_is_told_file_by_file(world: World, tmp_path: Path) -> None:
    """In the order of its entry; what nobody fetched is there too, and counts nothing."""
    download = issue(world)
    found = reconciled(world, tmp_path, [read_of(download, world.use.clock(), "vocab.bpe", bytes_sent=1)], download)
    assert [(file.path, file.state, file.bytes_sent) for file in found.files] == [
        ("hparams.json", DeliveryState.UNUSED, 0), ("vocab.bpe", DeliveryState.PARTIAL, 1),
    ]  # fmt: skip
    assert found.files[0].first_at is found.files[0].last_at is None
    assert found.bytes_sent == 1
    assert found.organization_id == world.caller("cleared").organization_id
    with world.use.database.reading() as session:
        assert deliveries.fetched_bytes(session, [download.id, "another"]) == {download.id: 1}
        assert deliveries.of_download(session, "another") is None


def test_results_are_provisional_until_48_hours_after_the_last_use(sqlite_world: World, tmp_path: Path) -> None:
    """Counted from the end of the URLs' life, to the moment."""
    download = issue(sqlite_world)
    found = reconciled(sqlite_world, tmp_path, [], download)
    issued_at = issuing.issued_at(sqlite_world.records("download")[0])
    lifetime = timedelta(seconds=sqlite_world.settings.url_lifetime_seconds)
    assert found.final_at == issued_at + lifetime + timedelta(hours=48)
    assert not found.is_final(found.final_at - timedelta(milliseconds=1))
    assert found.is_final(found.final_at)


def test_twenty_addresses_are_kept(sqlite_world: World, tmp_path: Path) -> None:
    """The first ones learnt of, over several runs; requests from further ones are counted and not forgotten."""
    download, at = issue(sqlite_world), sqlite_world.use.clock()
    for first in (0, 15):
        lines = [
            read_of(download, at, bytes_sent=1, address=f"2001:db8:{n:x}:ffff:ffff:ffff:ffff:ffff")
            for n in range(first, first + 15)
            for _ in range(2)
        ]
        found = reconciled(sqlite_world, tmp_path, lines, download)
    file = found.files[0]
    assert len(file.addresses) == 20
    assert file.addresses[0] == "2001:db8:0:ffff:ffff:ffff:ffff:ffff"
    assert (file.requests, file.other_requests) == (60, 20)


def test_an_address_is_kept_as_one_plain_word() -> None:
    """Whatever a log has in its place."""
    fetched = Fetched("a", 1)
    for address in ("a b\0c\n", "abc", "x" * 400):
        fetched.add(1, 1, 5, 6, address)
    assert fetched.addresses == ["abc", "x" * 45]


def test_of_an_erased_download_nothing_is_told(sqlite_world: World, tmp_path: Path) -> None:
    """And reading its lines again raises nothing: nobody can say any more what it held."""
    download = issue(sqlite_world)
    sqlite_world.seal()
    erasure.erase(sqlite_world.use, sqlite_world.admin, download.id, "A person asked for it.")
    name = write_log(tmp_path / "log", [read_of(download, sqlite_world.use.clock(), address="198.51.100.7")])
    summary = reconciliation.reconcile(sqlite_world.use, [name])
    assert (summary.matched, summary.alarms) == (0, {})
    with sqlite_world.use.database.reading() as session:
        assert deliveries.of_download(session, download.id) is None
