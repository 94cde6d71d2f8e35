"""The whole schema: every module with tables is imported here, so that migrations see them all."""

from server.domain import (
    access_requests,
    agreements,
    alarms,
    ceremonies,
    checkpoints,
    clearances,
    deliveries,
    factors,
    following,
    invitations,
    logs,
    mails,
    organizations,
    password_resets,
    people,
    quotas,
    reconciliation_run,
    refusals,
    seen_reads,
    sessions,
    signatures,
    stages,
    statistics,
    tiers,
    token_uses,
    tokens,
    verifications,
)
from server.log import entries, sealing
from server.storage.database import Base

MODULES = (
    access_requests, agreements, alarms, ceremonies, checkpoints, clearances, deliveries, entries, factors, following,
    invitations, logs, mails, organizations, password_resets, people, quotas, reconciliation_run, refusals, sealing,
    seen_reads, sessions, signatures, stages, statistics, tiers, token_uses, tokens, verifications,
)  # fmt: skip
METADATA = Base.metadata
