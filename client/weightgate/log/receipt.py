"""Receipts: the server's signed promise that a leaf will be in its log within a time."""

from dataclasses import dataclass

from weightgate.log import note
from weightgate.log.encoding import decode_base64, decode_decimal, require_origin, value_after
from weightgate.log.hashing import HASH_BYTES
from weightgate.log.note import Note, NotSigned, VerifierKey
from weightgate.verdicts import Malformed, Refuted

_FORM = "weightgate-receipt/v1"
# A promise for next year is none, and a server that could make one would never be caught breaking it.
_MMD_SECONDS_AT_MOST = 86_400
_TIME_MS_AT_MOST = 253_370_764_800_000  # the year 9999


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says. Nothing of it counts before `require_signed_by`."""

    log: str
    leaf: bytes  # the leaf hash, SHA-256(0x00 || commitment)
    time_ms: int
    mmd_seconds: int
    note: Note

    @property
    def deadline(self) -> float:
        """Seconds since 1970: afterwards the leaf must be in the log."""
        return self.time_ms / 1000 + self.mmd_seconds

    def require_signed_by(self, key: VerifierKey) -> None:
        """Raise Refuted unless the receipt key signed it. A key of the log's own name never does."""
        if key.name == self.log:
            raise Refuted("receipt_not_signed", "The receipt is not genuine: the log's key signs heads, not receipts.")
        try:
            self.note.require_signed_by(key)
        except NotSigned as error:
            raise Refuted("receipt_not_signed", f"The receipt is not genuine: {error}.") from None


def parse(data: bytes) -> Receipt:
    """Take a receipt apart. Raises Refuted when it is not one."""
    try:
        return _parse(note.parse(data))
    except Malformed as error:
        raise Refuted("malformed_receipt", f"The receipt is malformed: {error}.") from None


def _parse(signed: Note) -> Receipt:
    lines = signed.text.split("\n")
    if len(lines) != 6 or lines[5] or lines[0] != _FORM:  # the last newline leaves an empty end
        raise Malformed(f"its text is not the five lines of {_FORM}")
    receipt = Receipt(
        log=require_origin(value_after(lines[1], "log")),
        leaf=decode_base64(value_after(lines[2], "leaf"), HASH_BYTES),
        time_ms=decode_decimal(value_after(lines[3], "time")),
        mmd_seconds=decode_decimal(value_after(lines[4], "mmd")),
        note=signed,
    )
    if receipt.mmd_seconds > _MMD_SECONDS_AT_MOST or receipt.time_ms > _TIME_MS_AT_MOST:
        raise Malformed("its deadline is too late")
    return receipt
