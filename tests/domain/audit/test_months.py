"""Months of the log as Parquet, in a real store: written once, compared, never replaced; and what DuckDB reads."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
from sqlalchemy import func, select

from server.domain.access import clearances
from server.domain.audit import erasure, months
from server.domain.audit.month import Month
from server.domain.audit.months import Keeper, MonthDiffers
from server.domain.downloads import issuing
from server.domain.release import holds
from server.log import tree
from server.log.entries import WAITS_FOR_SEAL, LogEntry, commitment_of
from server.storage.log_bucket import LogBucket
from tests import own_keys
from tests.own_keys import give_own_keys
from tests.own_store import own_bucket
from tests.world import World

PAGE = Path(__file__).parents[3] / "docs" / "log-months.md"


@pytest.fixture
def bucket(sqlite_world: World) -> Iterator[LogBucket]:
    """The world's place for months, in a bucket of its own."""
    with own_bucket(sqlite_world) as name:
        give_own_keys(
            sqlite_world, log_months=f"{name}/log", log_months_key_file=str(sqlite_world.settings.publisher_key_file)
        )
        found = sqlite_world.use.log_months
        assert found is not None
        yield found


def files(bucket: LogBucket) -> list[str]:
    return bucket.list_keys("")


def pass_month(world: World) -> Month:
    """Go to the moment at which the month of the newest entry is finished, and return that month."""
    month = Month.of(world.entries()[-1].appended_at)
    world.clock.advance(month.until + timedelta(hours=2) - world.clock())
    return month


def rows(path: Path) -> list[dict[str, Any]]:
    return list(pyarrow.parquet.read_table(path).to_pylist())


def test_a_month_is_written_once_it_is_over(sqlite_world: World, bucket: LogBucket) -> None:
    """Not before, and not again; under a name that a second worker would choose as well."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    this = Month.of(world.entries()[-1].appended_at)
    assert this not in Keeper(world.use).keep()
    pass_month(world)
    written = Keeper(world.use)
    assert months.missing(world.use)[-1] == this
    assert written.keep()[-1] == this
    assert written.keep() == []
    found = files(bucket)
    assert re.fullmatch(rf"log/year={this.year}/month={this.month:02d}/[0-9a-f]{{32}}\.parquet", found[-1])
    assert Keeper(world.use).keep() == []
    assert files(bucket) == found
    assert months.missing(world.use) == []


def test_a_month_with_an_unsealed_entry_waits(sqlite_world: World, bucket: LogBucket) -> None:
    """What is not in the tree yet would be missing from the file for ever."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.clock.before = lambda: None
    month = pass_month(world)
    assert month not in months.finished(world.use)
    world.seal()
    assert month in months.finished(world.use)


def test_what_an_abandoned_log_left_behind_holds_up_no_month(sqlite_world: World, bucket: LogBucket) -> None:
    """It will never be sealed: the months after it are finished, and an evidence pack does not wait for it."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.use.settings.log_key_file.unlink()
    own_keys.rotate(world.use, abandon=True)
    world.seal()
    assert [entry.kind for entry in world.entries() if entry.leaf_index is None].count("download") == 1
    month = pass_month(world)
    assert month in months.finished(world.use)
    with world.use.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(LogEntry).where(*WAITS_FOR_SEAL)) == 0


def test_another_file_of_a_month_is_never_replaced(sqlite_world: World, bucket: LogBucket) -> None:
    """Not after an erasure either: the other months are written, and the sentence says what to do."""
    world = sqlite_world
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    pass_month(world)
    assert Keeper(world.use).keep()
    before = files(bucket)
    erasure.erase(world.use, world.admin, download.id, "A request.")
    with pytest.raises(MonthDiffers, match="If an entry was erased since, delete the file"):
        Keeper(world.use).keep()
    assert files(bucket) == before
    bucket.delete(before[-1])
    assert len(Keeper(world.use).keep()) == 1
    assert len(files(bucket)) == len(before)
    assert files(bucket) != before


def test_a_file_opens_every_commitment_of_the_tree(world: World, tmp_path: Path) -> None:
    """In the order of the tree, with the leaf; an erased entry keeps place and commitment. Columns are as described."""
    give_own_keys(world)
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    erasure.erase(world.use, world.admin, download.id, "A request.")
    path = tmp_path / "all.parquet"
    written = months.write(world.use, path, None, None)
    found = rows(path)
    entries = [entry for entry in world.entries() if entry.leaf_index is not None]
    assert written.entries == len(found) == len(entries)
    assert [row["leaf_index"] for row in found] == list(range(len(found)))
    for row, entry in zip(found, sorted(entries, key=lambda entry: entry.leaf_index or 0), strict=True):
        assert row["commitment"] == entry.commitment
        assert row["leaf_hash"] == tree.leaf_hash(entry.commitment)
        assert (row["record"] or "").encode() == entry.record
        if row["record"] is not None:
            assert commitment_of(row["salt"], row["record"].encode()) == row["commitment"]
            assert abs(row["time"] - entry.appended_at) < timedelta(milliseconds=1)
    (erased,) = [row for row in found if row["kind"] == "download"]
    assert (erased["record"], erased["salt"], erased["person"]) == (None, None, None)
    described = re.findall(r"^\| `(\w+)` \| (\S[^|]*?) \|", PAGE.read_text(), re.MULTILINE)
    schema = pyarrow.parquet.read_schema(path)
    types = {"fixed_size_binary[32]": "binary", "timestamp[ms, tz=UTC]": "timestamp[ms, UTC]"}
    assert described == [(field.name, types.get(str(field.type), str(field.type))) for field in schema]


def questions() -> dict[str, str]:
    """The queries of the page by their headings; the lines that come first are under an empty one."""
    parts = re.split(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    found = dict(zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))
    return {heading: sql for heading, part in found.items() for sql in re.findall(r"```sql\n(.*?)```", part, re.DOTALL)}


def test_each_question_of_an_auditor_is_answered(sqlite_world: World, bucket: LogBucket, tmp_path: Path) -> None:
    """By the very queries of the page, over files from the store, against values that were written by hand."""
    world = sqlite_world
    first = issuing.issue(world.use, world.caller("cleared"), world.order(paths=("checkpoint",)))
    second = issuing.issue(world.use, world.caller("cleared"), world.order(paths=("checkpoint", "hparams.json")))
    issuing.issue(world.use, world.caller("cleared"), world.order("gpt-2/355M", paths=("checkpoint",)))
    clearances.revoke(world.use, world.admin, 1, "The study is over.")
    holds.place(world.use, world.admin2, "gpt-2/774M", "A finding.")
    pass_month(world)
    assert Keeper(world.use).keep()
    for key in files(bucket):
        path = tmp_path / "months" / key.removeprefix(bucket.folder)
        path.parent.mkdir(parents=True)
        bucket.download(key, path)

    asked = questions()
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(asked.pop("").replace("'months/", f"'{tmp_path}/months/"))
    year = world.clock().year
    database.execute(f"SET VARIABLE since = TIMESTAMPTZ '{year - 1}-01-01 00:00:00Z'")
    database.execute(f"SET VARIABLE until = TIMESTAMPTZ '{year + 1}-01-01 00:00:00Z'")

    def answer(heading: str) -> list[dict[str, Any]]:
        result = database.execute(asked.pop(heading))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    owner, ada, ben = "owner@aurora-institute.example", "ada@example-lab.example", "ben@example-lab.example"
    (taken,) = answer("Who took this stage between two dates?")
    assert (taken["organization"], taken["person"], taken["downloads"]) == ("aurora-institute", owner, 2)
    under = answer("Under which clearance, and under which version of the agreement?")
    assert [(row["download"], row["clearance"], row["agreement"], row["version"]) for row in under] == [
        (first.id, "1", "model-sharing", "1"), (second.id, "1", "model-sharing", "1"),
    ]  # fmt: skip
    approved = answer("Who approved that clearance?")
    assert {
        (row["clearance"], row["model"], row["tier"], row["proposed_by"], row["approved_by"]) for row in approved
    } >= {("1", "gpt-2", "research", ada, ben)}
    assert [(row["stage"], row["path"]) for row in answer("What did this organization take?")] == [
        ("gpt-2/355M", "checkpoint"), ("gpt-2/774M", "checkpoint"), ("gpt-2/774M", "hparams.json"),
    ]  # fmt: skip
    stopped = answer("What was revoked or stopped, when, and by which person?")[-2:]
    assert [(row["kind"], row["subject"], row["person"], row["why"]) for row in stopped] == [
        ("clearance.revoke", "1", ada, "The study is over."), ("hold.place", "gpt-2/774M", ben, "A finding."),
    ]  # fmt: skip
    after = "Was anything downloaded after its clearance was revoked?"
    sql = asked[after]
    assert answer(after) == []
    assert (
        len(database.execute(sql.replace("INTERVAL 1 MINUTE", "INTERVAL '-1' DAY")).fetchall()) == 2
    )  # 355M is public
    assert answer("What did the comparison with the store's access log find?") == []
    check = "Is every record the one that the public tree commits to?"
    sql = asked[check]
    assert answer(check) == []
    assert asked == {}
    database.execute("CREATE TABLE changed AS SELECT * REPLACE (replace(record, 'aurora', 'x') AS record) FROM log")
    changed = database.execute(sql.replace("FROM log", "FROM changed")).fetchall()
    assert len(changed) == database.execute("SELECT count(*) FROM log WHERE record LIKE '%aurora%'").fetchall()[0][0]
