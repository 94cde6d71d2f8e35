"""Cutting: URLs that were issued for what is now on hold are made to die at the store, and it is measured when.

Those that lead to CloudFront do not die so: it keeps copies, and knows them by the key that signed them alone.

The bucket's policy refuses what is signed for the held prefix; where the store does not obey, or URLs do not tell whose
they are, the key that signed them is replaced. What is due stands in the table of cuts, so the bucket's policy follows
from it alone: whoever does it, and whenever it was broken off, does the same again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from sqlalchemy import select

from server.domain import acts
from server.domain.downloads import outlasting
from server.domain.entry_kinds import EntryKind
from server.domain.publish.checkpoints import OBJECT_PREFIX
from server.domain.release import cuts, holds
from server.domain.release.cuts import Cut, CutState, CutWay
from server.domain.release.holds import EVERYTHING, is_organization
from server.domain.resources import Resources
from server.settings import Settings
from server.storage import canaries, embedded_keys, store_sessions
from server.storage.canaries import Canary
from server.storage.keys import KeyFileError, S3Credentials
from server.storage.object_errors import ObjectStoreError, ObjectStoreRefused
from server.storage.outside import OutsideFault
from server.storage.signing import StoredObject

logger = structlog.get_logger(__name__)
OBEYS_WITHIN_SECONDS = 60
CLAIMED_FOR = timedelta(seconds=OBEYS_WITHIN_SECONDS + 60)
AGAIN_AFTER = timedelta(seconds=30)
CANARY_LIVES_SECONDS = 120  # longer than it is tried: it shall not die by itself
WAITS_SECONDS = 0.2
NOT_OBEYED = f"the store still accepted a signed URL {OBEYS_WITHIN_SECONDS} s after it was told to refuse it"
ONLY_KEYS_REFUSED = f"the store refuses the keys that it made itself, but {NOT_OBEYED.removeprefix('the store ')}"
NOT_TOLD_APART = (
    "URLs do not tell whose they are, so only another signer key makes an organization's URLs die: replace it at the "
    "store, as `Something leaked` in deploy/README.md says"
)
BEYOND_THE_BUCKET = (
    "CloudFront does not ask the bucket about a URL; to end all of them together, remove the key that signed them from "
    "its key group, as `Something leaked` in deploy/README.md says"
)
ONLY_THE_BUCKET_REFUSES = f"the bucket refuses keys and URLs of its own, but {BEYOND_THE_BUCKET}"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one cut. milliseconds: None where nothing died; then `told` says why."""

    way: CutWay | None = None
    milliseconds: int | None = None
    canary: str | None = None
    told: str | None = None


def can_cut(settings: Settings, on: str) -> bool:
    """Whether a cut of what a hold would be on can end anything that was issued."""
    if settings.delivery == "cloudfront":
        return settings.s3_door == "sts" and not is_organization(on)  # keys that the store made, and no URL
    return settings.embedded_store or not is_organization(on)


def carry_out(use: Resources) -> None:
    """Do at the store whatever is due there; several processes may call it at once, and one of them does it.

    Raises ObjectStoreError or KeyFileError when a deny that has no hold any more could not be taken away.
    """
    claimed = _claimed(use)
    if not claimed:
        return
    wanted = [cut for cut in claimed if cut.lifted_at is None]
    lifted = [cut for cut in claimed if cut.lifted_at is not None]
    outcomes: dict[int, _Outcome] = {}
    try:
        if lifted:  # first: a canary for the same prefix has to live before it can die
            use.bucket_policy.deny_signed(_denied(use, besides=wanted))
            outcomes = {cut.id: _Outcome() for cut in lifted}
    finally:
        try:
            outcomes |= _cut(use, wanted)
        finally:
            for cut in claimed:
                _finish(use, cut, outcomes.get(cut.id))


def carry_out_now(use: Resources, on: str) -> Cut | None:
    """Carry out what was asked for the hold on this, or wait for whoever is at it; returns what came of it.

    None where no hold with a cut is there any more. One that is still wanted: nobody can tell yet.
    """
    gives_up = time.monotonic() + OBEYS_WITHIN_SECONDS + 15
    while True:
        carry_out(use)
        with use.database.reading() as session:
            cut = cuts.all_of(session, [on]).get(on)
        if cut is None or cut.state != CutState.WANTED or time.monotonic() > gives_up:
            return cut
        time.sleep(WAITS_SECONDS)


def _claimed(use: Resources) -> Sequence[Cut]:
    """Everything that is due, unless somebody is at it: one alone replaces the bucket's policy."""
    due = select(Cut).where(Cut.due_at.is_not(None)).order_by(Cut.id)
    with use.database.reading() as session:
        if session.scalar(due.where(Cut.due_at <= use.clock()).limit(1)) is None:
            return []
    with use.database.transaction() as session:
        found = session.scalars(due.with_for_update()).all()
        at = use.clock()
        if any(cut.claimed_until is not None and cut.claimed_until > at for cut in found):
            return []
        found = [cut for cut in found if cut.due_at is not None and cut.due_at <= at]
        for cut in found:
            cut.claimed_until = at + CLAIMED_FOR
        return found


def _cut(use: Resources, wanted: Sequence[Cut]) -> dict[int, _Outcome]:
    """Try the bucket's policy for what has a prefix, then the key for what is left."""
    with_prefix = [cut for cut in wanted if not is_organization(cut.on)]
    if use.settings.delivery == "cloudfront":
        found = _by_policy(use, with_prefix)
        return {cut.id: _beyond_the_bucket(found.get(cut.id)) for cut in wanted}
    outcomes = {cut.id: _Outcome(told=NOT_TOLD_APART) for cut in wanted} | _by_policy(use, with_prefix)
    left = [cut for cut in wanted if outcomes[cut.id].milliseconds is None]
    if left and use.settings.embedded_store:
        by_key = _by_key(use)
        outcomes |= {cut.id: by_key for cut in left}
    return outcomes


def _by_policy(use: Resources, wanted: Sequence[Cut]) -> dict[int, _Outcome]:
    if not wanted:
        return {}
    outcomes: dict[int, _Outcome] = {}
    try:
        with ExitStack() as stack:
            planted = [(cut, stack.enter_context(_canary(use, _prefix(cut.on)))) for cut in wanted]
            began = time.monotonic()
            use.bucket_policy.deny_signed(_denied(use))
            for cut, canary in planted:
                outcomes[cut.id] = _measured(CutWay.POLICY, canary, began)
    except (ObjectStoreError, KeyFileError, OutsideFault) as error:
        told = _Outcome(told=str(error))
        return {cut.id: told for cut in wanted} | outcomes
    return outcomes


def _beyond_the_bucket(at_the_bucket: _Outcome | None) -> _Outcome:
    """What came of a cut where CloudFront delivers: its URLs live, whatever the bucket refuses by now."""
    if at_the_bucket is None:
        return _Outcome(told=BEYOND_THE_BUCKET)
    if at_the_bucket.milliseconds is None:
        return replace(at_the_bucket, told=f"{BEYOND_THE_BUCKET}; and at the bucket: {at_the_bucket.told}")
    return replace(at_the_bucket, milliseconds=None, told=ONLY_THE_BUCKET_REFUSES)


def _by_key(use: Resources) -> _Outcome:
    """Replace the signer's key. The canary lies where no deny reaches, so it dies of the key alone."""
    try:
        with _canary(use, "") as canary:

            def works(key: S3Credentials) -> bool:
                (url,) = use.signer_with(key).sign(
                    [StoredObject(canary.key)], download_id="canary", lifetime_seconds=CANARY_LIVES_SECONDS
                )
                return Canary(canary.key, url).works()

            began = time.monotonic()
            embedded_keys.rotate_signer(use.settings.folder / "store", works)
            return _measured(CutWay.KEY, canary, began)
    except (ObjectStoreError, KeyFileError, OutsideFault) as error:
        return _Outcome(told=str(error))


@contextmanager
def _canary(use: Resources, prefix: str) -> Iterator[Canary]:
    """A canary that works; only where a deny covers the prefix already is it dead from the start."""
    reads = _session_reads(use, prefix) if use.settings.s3_door == "sts" else None
    with canaries.planted(use.store, use.store_signer, prefix, CANARY_LIVES_SECONDS, reads) as canary:
        if not canary.works() and not _is_covered(use, prefix):
            raise ObjectStoreError("the store refuses every signed URL, so nothing can be cut: run `doctor`")
        yield canary


def _session_reads(use: Resources, prefix: str) -> Callable[[str], bool]:
    """Whether a session that is begun now reads an object below a prefix; no answer counts as if it did."""
    session = use.sessions.begin(prefix, "canary", store_sessions.SECONDS.start)
    store = use.store_as(session.credentials)

    def reads(key: str) -> bool:
        try:
            return store.get_bytes(key) is not None
        except ObjectStoreRefused:
            return False
        except ObjectStoreError:
            return True

    return reads


def _measured(way: CutWay, canary: Canary, began: float) -> _Outcome:
    milliseconds = canary.milliseconds_until_refused(began, began + OBEYS_WITHIN_SECONDS)
    if milliseconds is not None:
        return _Outcome(way, milliseconds, canary.key)
    only_keys = canary.reads is not None and not canary.reads(canary.key)
    return _Outcome(way, None, canary.key, ONLY_KEYS_REFUSED if only_keys else NOT_OBEYED)


def _denied(use: Resources, besides: Sequence[Cut] = ()) -> list[str]:
    """The prefixes that the bucket's policy refuses: those of every hold with a cut, but what died of its key."""
    left_out = {cut.id for cut in besides}
    query = select(Cut).where(Cut.lifted_at.is_(None), Cut.way.is_distinct_from(CutWay.KEY))
    with use.database.reading() as session:
        return [
            _prefix(cut.on) for cut in session.scalars(query) if not is_organization(cut.on) and cut.id not in left_out
        ]


def _is_covered(use: Resources, prefix: str) -> bool:
    # Also of one that failed: the bucket may have obeyed late, or may refuse no more than a part of what was issued.
    denied = select(Cut.on).where(Cut.lifted_at.is_(None), Cut.way == CutWay.POLICY)
    with use.database.reading() as session:
        return any(prefix.startswith(_prefix(on)) for on in session.scalars(denied))


def _prefix(on: str) -> str:
    return OBJECT_PREFIX if on == EVERYTHING else f"{OBJECT_PREFIX}{on}/"


def _finish(use: Resources, claimed: Cut, outcome: _Outcome | None) -> None:
    """Write down what came of it; a hold that was lifted meanwhile is due again, for the deny to go. None: it broke."""
    with use.database.transaction() as session:
        cut = session.get_one(Cut, claimed.id, with_for_update=True, populate_existing=True)
        at = use.clock()
        cut.claimed_until = None
        if cut.lifted_at is not None:
            is_gone = claimed.lifted_at is not None and outcome is not None
            cut.due_at = None if is_gone else at + (AGAIN_AFTER if outcome is None else timedelta(0))
            return
        if outcome is None or outcome.milliseconds is None:
            cut.told, cut.way = (None, cut.way) if outcome is None else (outcome.told, outcome.way)
            cut.state = CutState.FAILED
            gives_up = cut.asked_at + outlasting.at_most(use.settings)
            cut.due_at = at + AGAIN_AFTER if at + AGAIN_AFTER < gives_up else None
            logger.warning("issued URLs could not be cut", on=cut.on, reason=cut.told)
            return
        cut.state, cut.way, cut.milliseconds = CutState.DONE, outcome.way, outcome.milliseconds
        cut.done_at, cut.due_at, cut.told = at, None, None
        record = {
            "on": cut.on, "way": str(outcome.way), "milliseconds": outcome.milliseconds, "canary": outcome.canary,
            "asked_by": cut.asked_by,
        }  # fmt: skip
        acts.append(session, EntryKind.HOLD_CUT, at, record, organization_id=holds.concerned(session, cut.on))
