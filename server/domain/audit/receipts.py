"""Receipts: the promise that was given with a download, made once more for whoever did not keep it."""

import orjson
from sqlalchemy.orm import Session

from server.domain.audit import log_entries
from server.domain.downloads import issuing
from server.domain.errors import NotFound, NotPossible, NotSealedYet
from server.domain.resources import Resources
from server.log import tree
from server.log.entries import Log, LogEntry
from server.log.receipts import Receipt, sign
from server.storage.keys import KeyFileError


def again(session: Session, use: Resources, entry: LogEntry) -> bytes:
    """The receipt of a download: the same promise under the same key is the same bytes. Raises NotFound once that key
    has been replaced.

    Only for an entry that is in the log: else whoever can write to the database could have anything promised.
    Raises NotSealedYet, NotPossible.
    """
    checked = log_entries.check(session, entry)
    if checked.proof is None and checked.fault is None:
        raise NotSealedYet
    if not checked.is_proven:
        raise NotPossible("The stored entry does not match the log.", next_step="Contact {contact} immediately.")
    log = session.get_one(Log, entry.log_id)
    leaf, time_ms = tree.leaf_hash(entry.commitment), orjson.loads(entry.record)["time"]
    try:
        signer = use.receipt_signer(log.receipt_vkey)
    except KeyFileError:
        raise NotFound(
            "The receipt key of this log has been replaced, so the receipt cannot be created again.",
            next_step="Use the proof instead: it proves that the entry is in the log, where a receipt only "
            "promises it.",
        ) from None
    return sign(Receipt(log.origin, leaf, time_ms, issuing.PROMISED_SEALED_WITHIN_SECONDS), signer)
