"""Token uses: when and from where a token was last used. Written now and then, never in the way of a request."""

from collections.abc import Collection
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.callers import Caller
from server.domain.resources import Resources
from server.storage.database import DATABASE_ERRORS, Base, DatabaseUnavailable, Moment

logger = structlog.get_logger(__name__)
NOTED_EVERY = timedelta(minutes=5)
TOKENS_REMEMBERED = 10_000
# What this process noted when. Two threads may both find a token due: it is noted twice, which harms nobody.
_noted: WeakKeyDictionary[Resources, dict[int, datetime]] = WeakKeyDictionary()


class TokenUse(Base):
    """The newest use of one token that was written down, exact to five minutes."""

    __tablename__ = "token_uses"
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id"), primary_key=True, autoincrement=False)
    used_at: Mapped[datetime] = mapped_column(Moment)
    address: Mapped[str | None] = mapped_column(String(64))


def is_due(use: Resources, caller: Caller) -> bool:
    """Whether the use of the caller's token should be noted now. Cheap, since every request asks."""
    if caller.token_id is None:
        return False
    noted = _noted.get(use)
    before = None if noted is None else noted.get(caller.token_id)
    return before is None or use.clock() - before >= NOTED_EVERY


def note(use: Resources, caller: Caller) -> None:
    """Write down that the caller's token was used. For after the answer: whatever goes wrong is only told."""
    if caller.token_id is None or not is_due(use, caller):
        return
    noted, at = _noted.setdefault(use, {}), use.clock()
    if len(noted) >= TOKENS_REMEMBERED:
        noted.clear()
    noted[caller.token_id] = at  # before it is tried: a database that is down is not asked again at each request
    insert = postgresql.insert if use.database.dialect == "postgresql" else sqlite.insert
    values = {"used_at": at, "address": caller.address}
    statement = insert(TokenUse).values(token_id=caller.token_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=[TokenUse.token_id], set_=values, where=TokenUse.used_at < statement.excluded.used_at
    )
    try:
        use.database.together(lambda session: session.execute(statement))
    except (DatabaseUnavailable, *DATABASE_ERRORS) as error:
        logger.warning("the last use of a token could not be recorded", error=type(error).__name__)


def of(session: Session, token_ids: Collection[int]) -> dict[int, TokenUse]:
    """The last noted use of each of these tokens that has one. For one page of tokens: all are asked for at once."""
    if not token_ids:
        return {}
    rows = session.scalars(select(TokenUse).where(TokenUse.token_id.in_(token_ids)))
    return {row.token_id: row for row in rows}
