"""Asking a witness: the request that shows it a head, and what its answer means. C2SP tlog-witness; no network here."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.log import notes
from server.log.notes import Malformed, NotSigned, VerifierKey

PATH = "/add-checkpoint"
ANSWER_BYTES_AT_MOST = 16 * 1024
CLOCKS_DIFFER_AT_MOST_SECONDS = 60
SIZE_TYPE = "text/x.tlog.size"
_REASONS = {
    400: "it calls the request malformed",
    403: "it has another key for this log: give its operator the log's key",
    404: "it does not know this log: have its operator add the log's name and key",
    429: "it is asked too often",
}


class NotCosigned(Exception):
    """The witness did not cosign. The text completes "the witness …:", in words of ours."""


class OtherSize(Exception):
    """The witness last cosigned another size than it was told. size: which."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it last cosigned {size} entries")
        self.size = size


class OtherHistory(Exception):
    """The witness has cosigned a log of this name that ours is no continuation of. The text says how that showed."""


@dataclass(frozen=True, slots=True)
class Given:
    """A cosignature that holds. line: with its newline. at: unix seconds, by the witness's clock."""

    line: str
    at: int


def request(note: bytes, old_size: int, proof: Sequence[bytes]) -> bytes:
    """Return the body that asks for a cosignature. old_size: what the witness cosigned last, as far as we know.

    proof: that the tree of old_size is the beginning of the note's. Source: C2SP tlog-witness, add-checkpoint.
    """
    lines = [f"old {old_size}", *map(notes.encode_bytes, proof)]
    return ("\n".join(lines) + "\n\n").encode() + note


def judge(status: int, kind: str, body: bytes, note: bytes, key: VerifierKey, now: float) -> Given:
    """Return the cosignature that was answered, verified. Raises NotCosigned, OtherSize, OtherHistory.

    kind: the content type. note: what was shown. now: unix seconds. Source: C2SP tlog-witness, add-checkpoint.
    """
    if status == 200:
        return _given(body, note, key, now)
    if status == 409:
        raise OtherSize(_size(kind, body))
    if status == 422:  # also 409 in version 1.0.0, where the size it names is the one that it was told
        raise OtherHistory("it has cosigned a log of this name that ours does not continue")
    raise NotCosigned(_REASONS.get(status, f"it answered {status}"))


def _given(body: bytes, note: bytes, key: VerifierKey, now: float) -> Given:
    try:
        cosigned = notes.with_cosignature(note, body, key)
        at = notes.verify_cosignature(cosigned, key)
    except (Malformed, NotSigned):
        raise NotCosigned("its answer has no valid cosignature by its key") from None
    line = cosigned[len(note) :].decode()
    if line.count("\n") != 1:
        raise NotCosigned("it answered more than one cosignature by its key")
    if abs(at - now) > CLOCKS_DIFFER_AT_MOST_SECONDS:
        raise NotCosigned(f"its cosignature is dated {at - now:+.0f} s from now: an old one, or a wrong clock")
    return Given(line, at)


def _size(kind: str, body: bytes) -> int:
    """The size in a 409. Raises NotCosigned when it names none."""
    try:
        if kind.partition(";")[0].strip() == SIZE_TYPE and body.endswith(b"\n"):
            return notes.decode_number(body[:-1].decode("ascii"))
    except (UnicodeDecodeError, Malformed):
        pass
    raise NotCosigned("it answered 409 without the size that it cosigned last")
