"""Alarms: each cause once, each an entry that only staff see, and nothing in it that could open anything."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import alarms, reconciliation
from server.domain.delivery.alarms import SENTENCES, AlarmKind, Suspicion
from server.domain.downloads import issuing
from server.domain.paging import Slice
from tests.access_log_lines import SIGNED, read_of, write_log
from tests.world import World


def suspicion(cause: str = "a", kind: AlarmKind = AlarmKind.GHOST_READ, **more: object) -> Suspicion:
    told = {"reason": "Seen.", "at_ms": 1_790_000_000_000, "object_key": "checkpoints/k", "address": "192.0.2.1"}
    return Suspicion(kind, (cause,), **told | more)  # type: ignore[arg-type]


def raise_new(world: World, *found: Suspicion) -> list[AlarmKind]:
    with world.use.database.transaction() as session:
        return alarms.raise_new(session, found, world.use.clock())


def test_a_cause_is_raised_once(world: World) -> None:
    """Among the many of one call and of all calls; another kind or another cause is another alarm."""
    many = [suspicion(str(number), AlarmKind.FOREIGN_ADDRESS) for number in range(1200)]
    assert len(raise_new(world, *many, *many)) == 1200
    assert raise_new(world, *many, suspicion("0", AlarmKind.OVER_READ), suspicion("new")) == ["over_read", "ghost_read"]
    assert len(world.entries("alarm")) == 1202


def test_an_alarm_is_an_entry_with_its_code(world: World, tmp_path: Path) -> None:
    """It names the download and the organization, belongs to none, and a partner never sees it."""
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    line = read_of(download, world.use.clock(), "hparams.json", address="198.51.100.7")
    reconciliation.reconcile(world.use, [write_log(tmp_path / "log", [line])])
    (entry,), (record,) = world.entries("alarm"), world.records("alarm")
    assert (entry.code, entry.subject, entry.organization_id) == ("foreign_address", download.id, None)
    told = ("alarm", "download", "organization", "address", "object_key", "read_at")
    assert {name: record[name] for name in told} == {
        "alarm": "foreign_address", "download": download.id, "organization": "aurora-institute",
        "address": "198.51.100.7", "object_key": line.key, "read_at": int(line.at.timestamp()) * 1000,
    }  # fmt: skip
    seen = world.api("GET", "/log/entries?code=foreign_address", "auditor").json["items"]
    assert [orjson.loads(item["record"])["alarm"] for item in seen] == ["foreign_address"]
    assert world.api("GET", "/log/entries?code=foreign_address", "cleared").json["items"] == []


SECRETS = {
    "a URL": f"curl https://weights.example/{'k' * 20}?{SIGNED}",
    "a query alone": f"?{SIGNED}",
    "a query, encoded": f"%3F{SIGNED.replace('=', '%3D')}",
    "a signature alone": f"X-Amz-Signature={'5e' * 32}",
    "a signature, small": f"x-amz-signature={'5e' * 32}",
    "a token": "wgk_0123456789ab_" + "Z" * 49,
    "a header": "Authorization: Bearer " + "Z" * 60,
    "a null and a bell": "a\0b\a\x1b[31m" + "Z" * 9,
}


@pytest.mark.parametrize("words", SECRETS.values(), ids=SECRETS)
def test_nothing_in_it_opens_anything(sqlite_world: World, words: str) -> None:
    """Whatever a client called itself, or put into a key or an address."""
    found = suspicion(object_key=words, address=words, by=words, user_agent=words, reason="a\0" + "b" * 400)
    raise_new(sqlite_world, found)
    (record,) = sqlite_world.records("alarm")
    with sqlite_world.use.database.reading() as session:
        (alarm,) = alarms.listed(session, sqlite_world.admin, Slice(50)).items
    texts = [record[n] for n in ("object_key", "address", "signed_by", "user_agent", "reason") if n in record]
    texts += [alarm.object_key, alarm.address, alarm.signed_by, alarm.user_agent, alarm.reason]
    for text in texts:
        assert text.isprintable()
        assert "5e5e" not in text
        assert "Z" * 40 not in text
        assert "x-amz" not in text.lower()
        assert "://" not in text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("?:/%X-Amz"), max_size=300))
def test_any_text_becomes_plain(text: str) -> None:
    """Printable, short, and with no link."""
    plain = alarms._plain(text, 100)
    assert plain.isprintable()
    assert len(plain) <= 100
    assert "?" not in plain
    assert "://" not in plain


def test_alarms_are_listed_newest_first(world: World) -> None:
    """All, of one kind, of one organization; page by page."""
    partner = world.caller("cleared").organization_id
    raise_new(
        world, *[suspicion(f"{n}", list(AlarmKind)[n % 5], download_id=f"d{n % 2}") for n in range(10)],
        suspicion("mine", organization_id=partner),
    )  # fmt: skip
    with world.use.database.reading() as session:
        newest = alarms.listed(session, world.admin, Slice(4))
        assert len(newest.items) == 4
        assert [item.id for item in newest.items] == sorted((item.id for item in newest.items), reverse=True)
        assert newest.next_after is not None
        assert len(alarms.listed(session, world.admin, Slice(50), kind=AlarmKind.OVER_READ).items) == 2
        (mine,) = alarms.listed(session, world.admin, Slice(50), organization_id=partner).items
        assert (mine.organization and mine.organization.slug) == "aurora-institute"
        assert mine.read_at == datetime.fromtimestamp(1_790_000_000, UTC)
        assert abs(mine.raised_at - world.use.clock()) < timedelta(minutes=1)


def test_every_kind_has_a_sentence() -> None:
    """For whoever is on duty."""
    assert set(SENTENCES) == set(AlarmKind)
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())
