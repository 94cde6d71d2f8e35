"""The columns that entries are found by, against what their records say: a row that is listed as another's is a fault.

`kind`, `time` and `person` are compared with the bytes, in `log/verification.py`; these take the record's meaning.
Entries from before a field was kept are completed here, from the columns, and from then on held against each other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from server import dates
from server.domain import entry_kinds
from server.domain.audit.judging.world import Record, World
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.identity.organizations import HELD_AS
from server.log.entries import name_of
from server.storage.database import AnyRow

_KEPT = ("kind", "subject", "stage", "code", "organization_id", "time")
_RECENT = frozenset({"columns", "organization_id", "person_id", "secret_sha256"})  # fields that older entries lack
_DOWNLOAD = str(EntryKind.DOWNLOAD)
_NAMING = {EntryKind.INSTANCE_BEGIN, EntryKind.ORGANIZATION_ADD}


def kept_of(row: AnyRow) -> dict[str, Any]:
    """What a row that is emptied still says: the entry that tells of it keeps the same."""
    values = {name: getattr(row, name) for name in _KEPT[:-1]} | {"time": dates.milliseconds(row.appended_at)}
    return {name: value for name, value in values.items() if value is not None}


def completed(world: World, row: AnyRow, record: Record) -> Record:
    """The record, with what its kind says today and did not always say, as far as the row knows it."""
    kind = record["kind"]
    if kind == _DOWNLOAD:
        return record
    world.is_recent = world.is_recent or not _RECENT.isdisjoint(record)
    if kind in _NAMING and row.organization_id is not None:
        world.slugs.setdefault(record.get("organization_id", row.organization_id), record["organization"])
        return record if "organization_id" in record else record | {"organization_id": row.organization_id}
    if (kind.startswith("person.") or kind == EntryKind.PASSWORD_RESET) and "person_id" not in record:
        organization = world.slugs.get(row.organization_id)
        person = world.people.get(record["person"])
        number = person.id if person is not None else None
        given = int(row.subject) if number is None and row.subject is not None else number
        return record | {"organization": person.organization if person else organization, "person_id": given}
    return record


def faults(world: World, row: AnyRow, record: Record, erased: Mapping[int, AnyRow]) -> Iterator[str]:
    """Yield what a row is found by, and its record does not say."""
    for name, told in entry_kinds.columns(record["kind"], record).items():
        if getattr(row, name) != told:
            yield f"its {name} column differs from its record"
    world.lists_people = world.lists_people or row.person is not None
    if row.person is None and world.lists_people and "person" in record.get("actor", {}):
        yield "its person column differs from its record"
    slug = world.slugs.get(row.organization_id)
    is_known = slug is not None or row.organization_id is None
    if not is_known or slug != organization_of(world, record, erased):  # one to come would see the entry
        yield "its organization column differs from its record"
    if record["kind"] == _DOWNLOAD:
        return
    if record["kind"] in _NAMING and record["organization_id"] != row.organization_id:
        yield "its organization column differs from its record"
    if (about := world.people.get(record.get("person", ""))) is not None and "person_id" in record:
        about.id = about.id or record["person_id"]
        if about.id != record["person_id"]:
            yield "it refers to a person by someone else's number"
    if record["kind"] == EntryKind.ENTRY_ERASE and "columns" in record:
        emptied = erased.get(record["entry"])
        if emptied is not None and kept_of(emptied) != record["columns"]:
            told = name_of(record["entry"], emptied.leaf_index)
            yield f"{told}, which it erased, has different columns than when it was erased"


def organization_of(world: World, record: Record, erased: Mapping[int, AnyRow]) -> str | None:
    """Whom an entry concerns, and who therefore sees it."""
    kind = record["kind"]
    if kind == _DOWNLOAD:  # nearly all there are
        by: str | None = record["actor"].get("organization")
        return by
    match KINDS[EntryKind(kind)].subject:
        case "on" if record["on"].startswith(HELD_AS):
            held: str = record["on"].removeprefix(HELD_AS)
            return held
        case "token":
            token = world.tokens.get(record["token"])
            told = record.get("organization", record["actor"].get("organization"))
            return str(told) if token is None else token.organization
        case "entry":
            number = record.get("columns", {}).get("organization_id")
            if "columns" not in record and (emptied := erased.get(record["entry"])) is not None:
                number = emptied.organization_id
            return world.slugs.get(number)
        case (
            "access_request" | "trust_record" | "clearance" | "signature" | "invitation" | "organization" | "person_id"
        ):
            concerned: str = record["organization"]
            return concerned
        case "finding":  # to whom it was released is for the lab alone
            return record.get("organization")
    return None
