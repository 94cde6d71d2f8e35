"""Witnesses: which outside parties must have seen a head before it proves anything to this user.

A log that shows different histories to different people can do so only while nobody compares: a witness cosigns one
history. Whoever demands k of n believes that fewer than k of them would lie together with the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from weightgate.log import note
from weightgate.log.head import Head
from weightgate.log.note import NotSigned, VerifierKey
from weightgate.verdicts import CannotTell, Malformed, Refuted, WrongUse

_CLOCK_SKEW_SECONDS = 60  # between a witness's clock and ours


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Those whose word counts, and how many of them must have given it."""

    keys: tuple[VerifierKey, ...]
    required: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A witness that cosigned a head. at: when, by its clock, in RFC 3339."""

    name: str
    at: str


def demanded(vkeys: Sequence[str], required: int | None) -> Witnesses | None:
    """What the options demand; None without any. Without a number, all of them. Raises WrongUse."""
    if not vkeys:
        if required is not None:
            raise WrongUse("no_witness", "--witnesses-required names no witness.", "Add --witness KEY for each.")
        return None
    try:
        keys = tuple(note.parse_witness_vkey(text) for text in vkeys)
    except Malformed as error:
        raise WrongUse(
            "bad_vkey", f"--witness is not a key: {error}.", "Copy it completely, in the form name+hash+key."
        ) from None
    if len({key.public for key in keys}) < len(keys) or len({key.name for key in keys}) < len(keys):
        raise WrongUse("one_witness", "One witness is named twice, so it would count twice.", "Name each once.")
    wanted = len(keys) if required is None else required
    if not 1 <= wanted <= len(keys):
        raise WrongUse(
            "bad_number", f"--witnesses-required must be 1 to {len(keys)}, the number of witnesses.", "Correct it."
        )
    return Witnesses(keys, wanted)


def require(witnesses: Witnesses, head: Head, now: float) -> list[Seen]:
    """Return who cosigned the head, and when. now: seconds since 1970.

    Raises Refuted for a cosignature that was made up, CannotTell when there are too few.
    """
    signed, seen = note.parse(head.note), []
    for key in witnesses.keys:
        try:
            at = signed.cosigned_at(key)
        except NotSigned as error:
            sentence = f"The head of {head.size} entries bears a cosignature that was made up: {error}."
            raise Refuted("cosignature_not_valid", sentence) from None
        if at is not None and at <= now + _CLOCK_SKEW_SECONDS:
            seen.append(Seen(key.name, _moment(at)))
    if len(seen) < witnesses.required:
        told = ", ".join(f"{one.name} on {one.at}" for one in seen) or "none"
        raise CannotTell(
            "not_witnessed",
            f"The head of {head.size} entries has {len(seen)} of the {witnesses.required} cosignatures that are "
            f"demanded ({told}).",
            "Try again in a minute. If it stays so, ask the lab which of its witnesses does not answer.",
        )
    return seen


def told(seen: Sequence[Seen]) -> str:
    """Say who has cosigned; empty where nobody was asked for."""
    return "" if not seen else f" Cosigned by {', '.join(f'{one.name} on {one.at}' for one in seen)}."


def _moment(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OSError, OverflowError):
        return f"{at} s after 1970"
