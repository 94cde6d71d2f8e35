"""Cosignatures: what outside witnesses said of our heads. C2SP tlog-cosignature.

Kept while they say something that no later head's do: a head whose witnesses have all cosigned a later one is proven
by that one. So there are few, and yet every entry keeps a head that as many witnesses have seen as ever were.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.log.sealing import LogHead
from server.storage.database import Base, Key, Moment


class Cosignature(Base):
    """A witness's signature line under one head, verified when it was stored."""

    __tablename__ = "cosignatures"
    log_id: Mapped[int] = mapped_column(ForeignKey("logs.id"), primary_key=True)
    size: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    witness: Mapped[str] = mapped_column(String(300), primary_key=True)  # the key's name and id
    line: Mapped[str] = mapped_column(String(1000))
    cosigned_at: Mapped[datetime] = mapped_column(Moment)


def keep(session: Session, given: Cosignature) -> None:
    """Store a cosignature, in place of the same witness's older one under this head, and drop what says less."""
    session.merge(given)
    session.flush()
    read = _by_size(session, given.log_id)
    for size in _said_better(read):  # and of it what was read: another witness may have cosigned it since
        session.execute(
            delete(Cosignature).where(
                Cosignature.log_id == given.log_id, Cosignature.size == size, Cosignature.witness.in_(read[size])
            )
        )


def under(session: Session, head: LogHead) -> bytes:
    """Return the signed head with the cosignatures that it has, in the order of their witnesses."""
    query = select(Cosignature.line).where(Cosignature.log_id == head.log_id, Cosignature.size == head.size)
    return (head.note + "".join(session.scalars(query.order_by(Cosignature.witness)))).encode()


def most_witnessed(session: Session, log_id: int, index: int) -> LogHead | None:
    """Return the head that most witnesses cosigned and that has this entry; of several the newest. None: no such."""
    by_size = {size: found for size, found in _by_size(session, log_id).items() if size > index}
    if not by_size:
        return None
    size = max(by_size, key=lambda size: (len(by_size[size]), size))
    return session.scalar(select(LogHead).where(LogHead.log_id == log_id, LogHead.size == size))


def _by_size(session: Session, log_id: int) -> dict[int, set[str]]:
    """Which witnesses' cosignatures each head has."""
    found: dict[int, set[str]] = {}
    for size, witness in session.execute(
        select(Cosignature.size, Cosignature.witness).where(Cosignature.log_id == log_id)
    ):
        found.setdefault(size, set()).add(witness)
    return found


def _said_better(by_size: dict[int, set[str]]) -> Iterable[int]:
    """The sizes whose witnesses have all cosigned one later head."""
    return [size for size, who in by_size.items() if any(later > size and who <= by_size[later] for later in by_size)]
