"""Verification: does the log hold what a receipt promised? Every check in its order; the input and output are apart."""

from collections.abc import Callable
from dataclasses import dataclass, field

from weightgate.http import Server
from weightgate.log import answer, hashing, head, keys, proof, witnesses
from weightgate.log.answer import SavedAnswer
from weightgate.log.encoding import encode_base64
from weightgate.log.head import Head
from weightgate.log.keys import KeyPair, Keys
from weightgate.log.memory import Memory, Remembered
from weightgate.log.receipt import Receipt
from weightgate.log.source import NotSealed, Source
from weightgate.log.tiles import Tree
from weightgate.log.witnesses import Seen, Witnesses
from weightgate.verdicts import CannotTell, Refuted, Result, Verdict

_ABOUT_KEYS = {"key_changed", "receipt_not_signed"}
_CLOCK_SKEW_SECONDS = 60  # between the server's clock and ours


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: an answer, the server to ask (None: only what the answer itself shows), and keys known already.

    clock: seconds since 1970. witnesses: who must have seen the entry; None: whoever was demanded last, if anybody.
    """

    saved: SavedAnswer
    server: Server | None
    given: Keys
    clock: Callable[[], float]
    witnesses: Witnesses | None = None


@dataclass(slots=True)
class Findings:
    """What came to light on the way, also when the check ends early. evidence: two heads that contradict each other.

    witnesses: who has cosigned the head that the entry is proven by; of those that are demanded.
    """

    download: str | None = None
    log: str | None = None
    index: int | None = None
    size: int | None = None
    root: str | None = None
    remembered_size: int | None = None
    promised_by: float | None = None
    retry_after_seconds: int | None = None
    evidence: list[str] = field(default_factory=list)
    witnesses: list[Seen] = field(default_factory=list)


def verify(question: Question, memory: Memory, found: Findings) -> Verdict:
    """Return the proof in words. Raises Refuted, CannotTell or WrongUse; `found` is filled as far as it got."""
    found.download = question.saved.id
    receipt = answer.require_agreement(question.saved)
    found.log, found.promised_by = receipt.log, receipt.deadline
    before = memory.recall(receipt.log)
    try:
        return _verify(question, receipt, before, memory, found)
    except Refuted as refuted:
        if before.head is None or refuted.verdict.code not in _ABOUT_KEYS:
            raise
        raise _reminded(refuted.verdict, memory.told(receipt.log), receipt.log) from None


def _verify(question: Question, receipt: Receipt, before: Remembered, memory: Memory, found: Findings) -> Verdict:
    known = keys.agree(question.given, before.keys, receipt.log, others_are="is remembered")
    _require_genuine(receipt, known)
    if question.server is None:
        raise _nobody_asked(known)
    source = Source(question.server, receipt.log)
    known = keys.agree(known, source.keys(), receipt.log, others_are="the server shows")
    _require_genuine(receipt, known)
    pair = keys.require_both(receipt.log, known)
    try:
        shown = _require_sealed(question, source, receipt, pair, found)
        missing = None
    except CannotTell as verdict:
        shown, missing = None, verdict  # the head can still refute
    newest = head.read(source.head(), pair.log, "The log's head")
    found.size, found.root = newest.size, encode_base64(newest.root)
    found.remembered_size = before.head.size if before.head is not None else None
    tree = Tree(newest.size, source.tile)
    for older in (before.head, shown):
        if older is not None:
            _require_continuation(older, newest, tree, found)
    demanded = question.witnesses or before.witnesses
    memory.remember(receipt.log, pair, newest, question.clock(), demanded)
    if missing is not None:
        raise missing
    if demanded is not None and shown is not None:
        # The head in the proof: what a witness has cosigned of the log must have this entry in it.
        found.witnesses = witnesses.require(demanded, shown, question.clock())
    return _proven(found, first=before.head is None)


def _reminded(verdict: Verdict, remembered: str, origin: str) -> Refuted:
    """With what the client knows, since only its user can know of another instance of the same name."""
    forget = f"Only if this is another server with the same name, such as a new demo: `weightgate log forget {origin}`."
    return Refuted(verdict.code, f"{verdict.sentence} {remembered}", f"{verdict.next_step} {forget}")


def _require_genuine(receipt: Receipt, known: Keys) -> None:
    keys.require_of(receipt.log, known)
    if known.receipt is not None:
        receipt.require_signed_by(known.receipt)


def _require_sealed(question: Question, source: Source, receipt: Receipt, pair: KeyPair, found: Findings) -> Head:
    """Return the head in the proof, which includes the receipt's leaf."""
    asked_at = question.clock()  # before the request: what is sealed after the deadline came too late
    body = source.proof(question.saved.id)
    if isinstance(body, bytes):
        found.index, shown = proof.require_included(body, receipt.leaf, question.saved.salt, pair.log)
        return shown
    found.retry_after_seconds = body.retry_after_seconds
    if asked_at > receipt.deadline:
        raise _broken_promise(receipt, body)
    if asked_at < receipt.time_ms / 1000 - _CLOCK_SKEW_SECONDS:
        raise CannotTell("from_the_future", "The receipt is dated in the future.", "Check this machine's clock.")
    if body.retry_after_seconds is None:
        raise CannotTell(
            "unknown_download",
            "The server does not know this download, or does not show it to this caller.",
            "Use a token of the organization that downloaded, with --token-file or WEIGHTGATE_TOKEN.",
        )
    seconds = max(1, round(receipt.deadline - asked_at))
    raise CannotTell(
        "not_sealed",
        f"The receipt is genuine. The entry is not sealed yet; the log promised to seal it within {seconds} s.",
        f"Try again in {min(seconds, body.retry_after_seconds)} s.",
    )


def _require_continuation(older: Head, newer: Head, tree: Tree, found: Findings) -> None:
    if newer.size < older.size:
        found.evidence = [older.note.decode(), newer.note.decode()]
        raise Refuted(
            "rolled_back",
            f"The log {newer.origin} had {older.size} entries before and now shows a head of {newer.size}.",
        )
    path = tree.consistency_path(older.size)
    if not hashing.continues(older.size, newer.size, older.root, newer.root, path):
        found.evidence = [older.note.decode(), newer.note.decode()]
        raise Refuted(
            "forked",
            f"The log {newer.origin} was forked: {newer.size} entries are not a continuation of the {older.size} "
            "seen before.",
            "Keep both signed heads (shown by --json) and the file, and ask the lab for an explanation.",
        )


def _broken_promise(receipt: Receipt, answered: NotSealed) -> Refuted:
    if answered.retry_after_seconds is not None:
        return Refuted(
            "promise_broken",
            f"The log {receipt.log} broke its promise: the entry is not sealed after {receipt.mmd_seconds} s.",
        )
    return Refuted(
        "promise_broken",
        f"The log {receipt.log} broke its promise: the server says that it does not know this download.",
        "Check that the token belongs to the organization that downloaded, then ask the lab for an explanation.",
    )


def _nobody_asked(known: Keys) -> CannotTell:
    checked = "The receipt is genuine and for these files"
    if known.receipt is None:
        checked = "The receipt is for these files, but no key is known to check its signature"
    return CannotTell(
        "no_endpoint",
        f"{checked}. No server was asked whether the entry is in the log.",
        "Set --endpoint or WEIGHTGATE_ENDPOINT.",
    )


def _proven(found: Findings, *, first: bool) -> Verdict:
    where = f"Download {found.download} is entry {found.index} of the log {found.log}"
    if first:
        history = f"whose {found.size} entries were seen for the first time"
        next_step = (
            "Keys and head are now remembered. If you did not pass the keys yourself, compare them with the lab's."
        )
    else:
        history = f"whose {found.size} entries continue the {found.remembered_size} seen before"
        next_step = "There is nothing else to do."
    sentence = f"{where}, {history}.{witnesses.told(found.witnesses)}"
    return Verdict(Result.PROVEN, "proven", sentence, next_step)
