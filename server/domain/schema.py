"""The whole schema: every module with tables is imported here, so that migrations see them all."""

from server.domain import (
    agreements,
    alarms,
    checkpoints,
    clearances,
    deliveries,
    following,
    organizations,
    people,
    quotas,
    reconciliation_run,
    refusals,
    seen_reads,
    stages,
    tiers,
    tokens,
)
from server.log import entries, sealing
from server.storage.database import Base

MODULES = (
    agreements, alarms, checkpoints, clearances, deliveries, entries, following, organizations, people, quotas,
    reconciliation_run, refusals, sealing, seen_reads, stages, tiers, tokens,
)  # fmt: skip
METADATA = Base.metadata
