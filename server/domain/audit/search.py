"""Search: what a word, an id or the beginning of a hash may name, among what the caller may know of."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.access.refusals import Refusal
from server.domain.audit import log_entries, logs
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import NotFound
from server.domain.identity import organizations, tokens
from server.domain.identity.people import Person
from server.domain.paging import Slice
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import IS_PUBLISHED, Checkpoint
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.resources import Resources
from server.storage.folded import Folded

CHARACTERS_AT_LEAST = 2
EACH_AT_MOST = 10
_REQUEST = re.compile(r"[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{8,64}")
_PLACE = re.compile(r"(?:(?P<log>[A-Za-z0-9.-]{1,64})/)?(?P<place>[0-9]{1,18})")


class Thing(StrEnum):
    """What was found."""

    ORGANIZATION = "organization"
    PERSON = "person"
    STAGE = "stage"
    TOKEN = "token"  # noqa: S105  # a kind of thing
    DOWNLOAD = "download"
    ENTRY = "log entry"
    REQUEST = "request"
    CHECKPOINT = "checkpoint"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing. key: what its page is asked for by; name and detail: for people."""

    thing: Thing
    key: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    session: Session
    use: Resources
    caller: Caller
    text: str

    @property
    def folded(self) -> str:
        return self.text.casefold()


def find(session: Session, use: Resources, caller: Caller, text: str) -> list[Found]:
    """Everything that a text names, the surest first; at most ten of each kind, and nothing of another partner."""
    caller.require(Permission.LOG_READ)
    asked = _Asked(session, use, caller, text.strip())
    if len(asked.text) < CHARACTERS_AT_LEAST:
        return []
    return [found for look in _LOOKS for found in look(asked)]


def _downloads(asked: _Asked) -> Iterator[Found]:
    if issuing.ID.fullmatch(asked.folded):
        try:
            entry = issuing.find(asked.session, asked.caller, asked.folded)
        except NotFound:
            return
        yield Found(Thing.DOWNLOAD, asked.folded, asked.folded, entry.stage or "")


def _tokens(asked: _Asked) -> Iterator[Found]:
    try:
        token = tokens.find(asked.session, asked.caller, asked.text)
    except NotFound:
        return
    yield Found(Thing.TOKEN, token.public_id, token.public_id, token.name)


def _requests(asked: _Asked) -> Iterator[Found]:
    """Requests that were refused: those that were not are in the log, and in the program's own messages."""
    if not _REQUEST.fullmatch(asked.folded):
        return
    query = select(Refusal).where(Refusal.request_id == asked.folded, *asked.caller.within(Refusal.organization_id))
    for refusal in asked.session.scalars(query.order_by(Refusal.id.desc()).limit(EACH_AT_MOST)):
        yield Found(Thing.REQUEST, asked.folded, asked.folded, f"{refusal.asked}: {refusal.detail}")


def _entries(asked: _Asked) -> Iterator[Found]:
    named = _PLACE.fullmatch(asked.text)
    if named is None:
        return
    log = named["log"] or logs.current(asked.session).name
    try:
        entry = log_entries.at_place(asked.session, asked.caller, log, int(named["place"]))
    except NotFound:
        return
    yield Found(Thing.ENTRY, f"{log}/{entry.leaf_index}", f"{log}/{entry.leaf_index}", entry.kind)


def _organizations(asked: _Asked) -> Iterator[Found]:
    part = Slice(EACH_AT_MOST)
    for found in organizations.listed(asked.session, asked.caller, part, named=asked.text, by_slug=True).items:
        yield Found(Thing.ORGANIZATION, found.slug, found.name, found.slug)


def _people(asked: _Asked) -> Iterator[Found]:
    like = Person.email.startswith(asked.folded, autoescape=True)
    like |= Folded(Person.name).contains(asked.folded, autoescape=True)
    query = select(Person).where(like, *asked.caller.within(Person.organization_id)).order_by(Person.email)
    for found in asked.session.scalars(query.limit(EACH_AT_MOST)):
        yield Found(Thing.PERSON, str(found.id), found.name, found.email)


def _stages(asked: _Asked) -> Iterator[Found]:
    known = rule.visible_stages(asked.session, asked.use, asked.caller, Slice(log_entries.STAGES_AT_MOST)).items
    names = [f"{stage.model}/{stage.name}" for stage in known]
    for name in [name for name in names if asked.folded in name.casefold()][:EACH_AT_MOST]:
        yield Found(Thing.STAGE, name, name)


def _hashes(asked: _Asked) -> Iterator[Found]:
    """Checkpoints for the lab alone: whether there is one is for those who are cleared to know."""
    if not _HASH.fullmatch(asked.folded):
        return
    if asked.caller.is_staff:
        begun = Checkpoint.checkpoint_id >= asked.folded, Checkpoint.checkpoint_id <= f"{asked.folded}g"
        query = select(Checkpoint).where(*begun, IS_PUBLISHED).order_by(Checkpoint.checkpoint_id).limit(EACH_AT_MOST)
        for found in asked.session.scalars(query):
            yield Found(Thing.CHECKPOINT, found.checkpoint_id, found.checkpoint_id, found.stage.full_name)
    texts = select(Agreement.name, AgreementVersion.number, AgreementVersion.sha256)
    texts = texts.join(Agreement, Agreement.id == AgreementVersion.agreement_id)
    texts = texts.where(AgreementVersion.sha256.startswith(asked.folded)).limit(EACH_AT_MOST)
    for row in asked.session.execute(texts):
        yield Found(Thing.AGREEMENT, f"{row.name}/{row.number}", f"{row.name}, version {row.number}", row.sha256)


_LOOKS: tuple[Callable[[_Asked], Iterator[Found]], ...] = (
    _downloads, _tokens, _requests, _entries, _organizations, _people, _stages, _hashes,
)  # fmt: skip
