"""Revisions: a repository of the Hugging Face client is a stage, and its commits are the stage's checkpoints."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from server.domain.access import rule
from server.domain.access.rule import Sight
from server.domain.callers import Caller
from server.domain.publish.checkpoints import FileList
from server.web import renamed
from server.web.hub import notices
from server.web.identity import resources


def require(session: Session, caller: Caller, repository: str, revision: str) -> tuple[Sight, FileList]:
    """What the caller may see of a stage at `main` or a checkpoint's id, and its files. Raises a Refused."""
    sight = require_repository(session, caller, repository)
    return sight, rule.file_list(session, resources(), sight.stage, revision)


def require_repository(session: Session, caller: Caller, repository: str) -> Sight:
    """The same of a stage whose files nobody asks for. The answer says what the client should know of it."""
    sight = rule.require_sight(session, resources(), caller, repository)
    renamed.tell(repository, sight.stage.full_name)
    notices.tell_what_changes(repository, sight)
    return sight


def moment(at: datetime) -> str:
    """To the millisecond and with Z: the one form that the client reads."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
