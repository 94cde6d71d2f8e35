"""Reconciliation: the object store's access logs, held against the download log.

Lines may come late, in any order, twice, or from several files: each counts once (`seen_reads`). What should not have
been read is an alarm (`alarms`), raised before the lines count, so that a crash between the two loses neither: the same
logs, read again, raise and count only what is missing.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from server.domain.delivery.reconciliation_run import Run, Summary
from server.domain.errors import InvalidRequest
from server.domain.resources import Resources
from server.storage import access_log_sources as logs
from server.storage import keys
from server.storage.access_log_sources import LogStore, SourceError
from server.storage.access_logs import Tally
from server.storage.objects import S3Objects

__all__ = ["Progress", "Summary", "reconcile"]

Progress = Callable[[str, int, int], None]  # which log, bytes just read, bytes in all (0: not known)


def reconcile(
    use: Resources,
    places: Sequence[str],
    progress: Progress = lambda *_: None,
    *,
    own: Collection[str] | None = None,
    log_credentials: keys.S3Credentials | None = None,
) -> Summary:
    """Read the access logs at files, in folders and under s3://bucket/prefix, count what is new, and raise alarms.

    own: identities as the store's log names them (an access key id; on AWS a requester's ARN), whose reads need no
    download; None: the publisher's key, where this process may read it. log_credentials: for s3:// places; None: the
    publisher's. Raises InvalidRequest where a place is not there, ObjectStoreError, DatabaseUnavailable: what was
    counted stays, and the same call continues.
    """
    run = Run(use, own)
    run.summary.sources = list(places)
    with _opener(use, log_credentials) as store_of:
        try:
            total = logs.total_bytes(places)
            for source in logs.expand(places, store_of, run.known_objects):
                tally = Tally()
                try:
                    for reads in logs.reads(source, tally, _telling(progress, source.name, total)):
                        run.take(reads)
                except SourceError as error:
                    run.summary.problems.append(str(error))
                else:
                    run.finish(source.name if source.is_object else None)
                run.add(tally)
        except SourceError as error:
            raise InvalidRequest(f"{error}.") from None
    run.close()
    return run.summary


@contextmanager
def _opener(use: Resources, credentials: keys.S3Credentials | None) -> Iterator[Callable[[str], LogStore]]:
    """Yield what opens a bucket by its name at the store of the settings."""
    opened: dict[str, S3Objects] = {}

    def store_of(bucket: str) -> LogStore:
        if bucket not in opened:
            made = use.settings
            opened[bucket] = S3Objects(
                endpoint_url=made.s3_endpoint_url, region=made.s3_region, bucket=bucket, addressing=made.s3_addressing,
                credentials=credentials or keys.read_s3_credentials(made.publisher_key_file),
            )  # fmt: skip
        return opened[bucket]

    try:
        yield store_of
    finally:
        for store in opened.values():
            store.close()


def _telling(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(name, done, total)
