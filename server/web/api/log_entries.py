"""Reading the log's entries. Its public part, without them, is `web/log.py`."""

import base64
import re
from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import AwareDatetime, BeforeValidator, Field

from server.domain.audit import log_entries
from server.domain.audit.filters import LookUp
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.log.entries import LogEntry
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("log_entries", __name__, url_prefix="/api/v1/log", tag="log")
# No control characters: PostgreSQL would not even be asked about a NUL.
Word = Annotated[str | None, Field(min_length=1, max_length=254, pattern=r"^[^\x00-\x1f\x7f]+$")]


# From 1970 to 8999, in which every database and every time zone can tell it.
_WRITTEN = r"^(19[7-9]|[2-8][0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}[Tt]"


def _written_out(value: object) -> object:
    if isinstance(value, str) and not re.match(_WRITTEN, value):
        raise ValueError("use the format 2026-01-31T00:00:00Z")  # a number would be taken for seconds
    return value


When = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_written_out), Field(json_schema_extra={"pattern": _WRITTEN})] | None,
    Field(description="RFC 3339 with a time zone."),
]


class EntriesQuery(ListQuery):
    """Which entries; each filter narrows further."""

    organization: Annotated[Word, Field(description="The organization's ID or name.")] = None
    person: Annotated[Word, Field(description="The email address of the person who acted.")] = None
    stage: Annotated[Word, Field(description="`model/stage`, an alias, or a name that only one stage has.")] = None
    kind: Annotated[Word, Field(description="For example `download` or `clearance.approve`.")] = None
    code: Annotated[Word, Field(description="The subtype, such as the type of an alarm.")] = None
    since: When = None
    until: When = None

    def as_filter(self) -> EntryFilter:
        return EntryFilter(self.organization, self.person, self.stage, self.kind, self.code, self.since, self.until)


class Entry(Answer):
    id: int
    index: Annotated[int | None, Field(description="The entry's position in the tree; null until it is sealed.")]
    kind: str
    time: str
    stage: str | None
    code: str | None
    record: Annotated[
        str,
        Field(
            description="The exact text of the commitment; empty if the entry was erased, or if its record was "
            "archived: then its salt is there."
        ),
    ]
    salt: Annotated[str, Field(description="Base64; empty if the entry was erased.")]
    commitment: Annotated[str, Field(description="Base64. This is what the public log contains.")]


class Entries(Listing):
    items: list[Entry]


@bp.get("/entries")
@allow(Permission.LOG_READ)
@bp.input(EntriesQuery, location="query", arg_name="query")
@bp.output(Entries)
def index(caller: Caller, query: EntriesQuery) -> Response:
    """Log entries about your organization, newest first; for staff, all entries."""
    with resources().log_reading.newest() as session:
        wanted = LookUp(session, resources(), caller).all_of(query.as_filter())
        return listing(log_entries.visible(session, caller, wanted, query.as_slice()), _render)


def _render(entry: LogEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "index": entry.leaf_index,
        "kind": entry.kind,
        "time": moment(entry.appended_at),
        "stage": entry.stage,
        "code": entry.code,
        "record": entry.record.decode(),
        "salt": _text(entry.salt),
        "commitment": _text(entry.commitment),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
