"""Workload tokens: which token was made for which workload's identity, so that each identity token makes only one."""

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.database import Base, Key

SUBJECT_CHARACTERS_AT_MOST = 255


class WorkloadToken(Base):
    """Where a token of `tokens` comes from, if no person made it.

    door: `exchange` (its text was answered), or `sts` (nobody has its text, only keys that are made for it).
    """

    __tablename__ = "workload_tokens"
    __table_args__ = (Index("ix_workload_tokens_trust_record_id_token_id", "trust_record_id", "token_id"),)
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id"), primary_key=True, autoincrement=False)
    trust_record_id: Mapped[int] = mapped_column(Key, ForeignKey("trust_records.id"))
    identity_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    subject: Mapped[str] = mapped_column(String(SUBJECT_CHARACTERS_AT_MOST))
    run: Mapped[str | None] = mapped_column(String(120))
    door: Mapped[str] = mapped_column(String(10))
