"""The lab's pages: what waits, who has which access, what is released and under which agreement."""

from server.web.portal.admin import (
    access_requests,
    agreements,
    checkpoints,
    clearances,
    decisions,
    findings,
    holds,
    moves,
    organizations,
    people,
    proposals,
    queue,
    rehearsals,
    signatures,
    stage_editing,
    stages,
    tiers,
    tokens,
)

MODULES = (
    access_requests, agreements, checkpoints, clearances, decisions, findings, holds, moves, organizations, people,
    proposals, queue, rehearsals, signatures, stage_editing, stages, tiers, tokens,
)  # fmt: skip
