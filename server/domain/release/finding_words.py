"""Words for findings: kinds, severities and states, for options and pages that need nothing else of them."""

from enum import StrEnum


class FindingKind(StrEnum):
    """What a finding is about."""

    MISUSE = "misuse"
    CAPABILITY = "capability"
    BIAS = "bias"
    DETECTION = "detection"
    SAFETY = "safety"
    SECURITY = "security"
    OTHER = "other"
    NOTHING_FOUND = "nothing_found"  # somebody looked, and says how: that is worth as much to a decision


class Severity(StrEnum):
    """How bad it would be if it is so, the least first."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class FindingState(StrEnum):
    """How far the lab has got with a finding."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    NOT_REPRODUCED = "not_reproduced"
    CONSIDERED = "considered"
    CLOSED = "closed"
