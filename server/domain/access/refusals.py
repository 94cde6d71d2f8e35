"""Refusals that were given: who was refused what, and why. A plain table; the sealed log holds acts only."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.domain.callers import Caller
from server.domain.errors import Refused
from server.domain.meters import REFUSALS
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.text import printable

_OF_NOBODY = frozenset(
    {"authentication_required", "invalid_credentials", "too_many_attempts", "identity_token_refused",
     "issuer_unavailable"}
)  # fmt: skip


class Refusal(Base):
    """One "no"."""

    __tablename__ = "refusals"
    __table_args__ = (
        Index("ix_refusals_organization_id_id", "organization_id", "id"),
        Index("ix_refusals_refused_at_code", "refused_at", "code"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    refused_at: Mapped[datetime] = mapped_column(Moment)
    request_id: Mapped[str | None] = mapped_column(String(64), index=True)
    code: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(1000))
    asked: Mapped[str] = mapped_column(String(500))  # method and path, without the query
    organization_id: Mapped[int | None] = mapped_column(Key)
    person_id: Mapped[int | None] = mapped_column(Key)
    token_id: Mapped[int | None] = mapped_column(Key)
    address: Mapped[str | None] = mapped_column(String(64))
    stage: Mapped[str | None] = mapped_column(String(200), index=True)  # what the access rule refused


def record(use: Resources, caller: Caller, refused: Refused, asked: str) -> None:
    """Count and remember a refusal. Callers whom we do not know at all leave no row: anyone could fill the table."""
    use.meters.add(REFUSALS, refused.code)
    if caller.organization_id is None and refused.code in _OF_NOBODY:
        return
    with use.database.transaction() as session:
        session.add(
            Refusal(
                refused_at=use.clock(),
                request_id=caller.request_id,
                code=refused.code,
                detail=printable(refused.detail)[:1000],
                asked=printable(asked)[:500],
                organization_id=caller.organization_id,
                person_id=caller.person_id,
                token_id=caller.token_id,
                address=caller.address,
                stage=refused.stage,
            )
        )
