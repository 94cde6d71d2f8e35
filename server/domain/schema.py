"""The whole schema: every module with tables is imported here, so that migrations see them all."""

from server.domain import (
    agreements,
    checkpoints,
    clearances,
    organizations,
    people,
    quotas,
    refusals,
    stages,
    tiers,
    tokens,
)
from server.log import entries
from server.storage.database import Base

MODULES = (
    agreements, checkpoints, clearances, entries, organizations, people, quotas, refusals, stages, tiers, tokens,
)  # fmt: skip
METADATA = Base.metadata
