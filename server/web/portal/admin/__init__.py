"""The lab's pages: what waits, who has which access, what is released and under which agreement."""

from server.web.portal.admin import (
    agreements,
    checkpoints,
    clearances,
    holds,
    organizations,
    people,
    queue,
    requests,
    signatures,
    stages,
    tiers,
    tokens,
)

MODULES = (
    agreements, checkpoints, clearances, holds, organizations, people, queue, requests, signatures, stages, tiers,
    tokens,
)  # fmt: skip
