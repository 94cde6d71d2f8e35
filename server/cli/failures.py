"""Failures: what is told of an error that an operator can do something about, and with which exit code."""

import os

from server.domain.errors import InvalidRequest, NotFound, Refused, taken_meanwhile
from server.domain.marks import AnotherInstance
from server.domain.publish.faults import NotPublishable
from server.domain.publish.manifests import ManifestError
from server.domain.resources import OtherSchema
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.log.sealing import SealingStopped
from server.settings import SettingsError
from server.storage.database import DatabaseUnavailable, RowTaken
from server.storage.embedded import EmbeddedStoreError
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError
from server.storage.signing_check import SigningMismatch
from server.storage.snapshot import SnapshotError

EXPECTED = (
    SettingsError, KeyFileError, NotPublishable, ManifestError, ObjectStoreError, EmbeddedStoreError, NoLog,
    LogUnsound, SealingStopped, Forked, SigningMismatch, SnapshotError, AnotherInstance, OtherSchema,
)  # fmt: skip
FAILED, BEHIND_ANCHOR = 1, 4  # exit codes
# What a refusal advises by default is written for callers of the API.
NEXT_STEPS: dict[type[Refused], str] = {
    NotFound: "Check the spelling. The `list` commands show what exists.",
    InvalidRequest: "Correct the problem named above. `--help` describes the command.",
}


def told(error: Exception) -> tuple[list[str], int] | None:
    """The sentences, and the exit code; None for a fault of ours, which shows where it is."""
    match error:
        case Refused():
            return [_refused(error)], FAILED
        case RowTaken():
            return [_refused(taken_meanwhile())], FAILED
        case DatabaseUnavailable():
            advice = "check that it is running and not locked, then try again. Every completed change is in the log"
            return [f"{error}: {advice}"], FAILED
        case BehindAnchor():
            advice = "Restore a newer backup, or see `An older backup was restored` in deploy/README.md"
            return [f"{error}. {advice}"], BEHIND_ANCHOR
        case NotPublishable() if len(error.faults) > 1:
            counted = f"{len(error.faults)} things are wrong, and nothing was published"
            return [*map(str, error.faults), counted], FAILED
        case OSError() if error.filename is not None:  # a file that the operator could make room for or open
            return [f"{error.strerror}: {os.fsdecode(error.filename)}. Fix this, then run the command again"], FAILED
    return ([str(error)], FAILED) if isinstance(error, EXPECTED) else None


def _refused(refused: Refused) -> str:
    step = refused.next_step
    if step == type(refused).next_step:
        step = NEXT_STEPS.get(type(refused), step)
    return f"{refused.detail} {step.replace('{contact}', 'an admin')}"
