"""Identities in the store's access log: sessions of our role are downloads, and nobody else is."""

from pathlib import Path

import pytest

from server.domain.delivery import reconciliation
from server.domain.delivery.store_readers import StoreReaders
from server.domain.downloads import session_downloads
from tests import sessions
from tests.access_log_lines import Wanted, s3_line
from tests.world import World

ID = "01991e0a-0000-7000-8000-0123456789ab"
OURS = "arn:aws:sts::123456789012:assumed-role/downloads"


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (f"{OURS}/{ID}", ID), (f"{OURS}/doctor", None), (f"{OURS}-2/{ID}", None), (f"{OURS}/{ID}/x", None),
        (f"arn:aws:sts::999999999999:assumed-role/downloads/{ID}", None),
        (f"arn:aws:iam::123456789012:user/{ID}", None), (ID, None), ("", None), ("AKIAREADER", None),
    ],
)  # fmt: skip
def test_a_session_of_our_role_is_a_download(sqlite_world: World, by: str, expected: str | None) -> None:
    """Of another role or account it is not: whoever may begin sessions there may call them as they like."""
    made = sqlite_world.settings
    assert StoreReaders(made.model_copy(update={"sts_role_arn": sessions.ROLE})).download_of(by) == expected
    assert StoreReaders(made).download_of(by) is None


def test_what_a_session_reads_is_delivered(world: World, tmp_path: Path) -> None:
    """Under the download whose keys it had; another file is a ghost read, and so is another role's session."""
    sessions.open_door(world)
    made = session_downloads.issue(world.use, world.caller("cleared"), "mini-gpt/base")
    (file, *_), other = world.records("download")[0]["files"], "checkpoints/gpt-2/774M/x/config.json"
    lines = [
        line(world, number, key, by)
        for number, (key, by) in enumerate([
            (file["object_key"], f"{OURS}/{made.download_id}"), (other, f"{OURS}/{made.download_id}"),
            (file["object_key"], f"{OURS}-2/{made.download_id}"),
        ])
    ]  # fmt: skip
    (tmp_path / "log").write_text("".join(f"{one}\n" for one in lines))
    found = reconciliation.reconcile(world.use, [str(tmp_path / "log")])
    assert (found.matched, found.unmatched, dict(found.alarms)) == (1, 2, {"ghost_read": 2})


def line(world: World, number: int, key: str, by: str) -> str:
    """Of S3's own access log."""
    address = world.caller("cleared").address or "127.0.0.1"
    wanted = Wanted(world.clock(), key, None, address=address, by=by, request_id=f"R{number}")
    return s3_line(wanted)
