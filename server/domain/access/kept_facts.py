"""Kept facts: what a decision rested on, for the next one by the same caller, under the generation that it was read in.

They only ever say yes, and never alone: who relies on that must find, where the entry is appended or in the statement
that decides, that the generation is still the same. A no is read again first. What begins and ends by the clock is
judged at each request's own time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.domain.access import rule
from server.domain.access.rule import Basis, Grant
from server.domain.callers import Caller
from server.domain.publish.checkpoints import FileList
from server.domain.resources import Resources
from server.log import authority
from server.log.condition import SoundLog


@dataclass(frozen=True, slots=True)
class Expected:
    """A yes, if its generation is still the one that everything is under. log: the newest at that time."""

    grant: Grant
    generation: str
    stage_id: int
    log: SoundLog


@dataclass(frozen=True, slots=True)
class _Kept:
    basis: Basis
    listed: FileList
    log: SoundLog


_kept = authority.Kept[_Kept]()


def keep(use: Resources, caller: Caller, stage: str, checkpoint: str, grant: Grant, log: SoundLog) -> None:
    """Keep what a yes rested on. stage, checkpoint: as they were asked for."""
    if grant.basis is not None:
        _kept.put(use.database, _key(caller, stage, checkpoint), _Kept(grant.basis, grant.checkpoint, log))


def expect(use: Resources, caller: Caller, stage: str, checkpoint: str, paths: Sequence[str] | None) -> Expected | None:
    """What kept facts say now, if it is a yes, and of a caller who was read under the same generation."""
    kept = _kept.find(use.database, _key(caller, stage, checkpoint))
    if kept is None or kept.basis.facts.stage is None or caller.known_under not in {None, kept.basis.generation}:
        return None
    facts, at = replace(kept.basis.facts, caller=caller), use.clock()
    if rule.refusal_now(use, facts, at) is not None or any(path not in kept.listed.files for path in paths or ()):
        return None
    grant = rule.granted(use, facts, at, kept.listed, paths)
    return Expected(grant, kept.basis.generation, kept.basis.facts.stage.id, kept.log)


def _key(caller: Caller, stage: str, checkpoint: str) -> tuple[int | str | None, ...]:
    return caller.token_id, caller.person_id, caller.organization_id, stage, checkpoint
