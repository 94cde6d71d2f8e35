"""Checks of what scales out: all machines run with what is here, and the log's replica is one."""

import time

from limits.errors import StorageError
from limits.storage import storage_from_string
from sqlalchemy import func, select

from server.domain.operation import bootstrap, nodes
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.log import replica
from server.log.sealing import LogHead
from server.settings import FILE_NAME
from server.storage.database import Database, DatabaseUnavailable

CATCHES_UP_SECONDS = 5
REDIS_SECONDS = 5


def agree(use: Resources) -> str:
    """Whoever runs for this instance runs with the settings and keys that are here."""
    if not bootstrap.has_begun(use):
        raise Wrong("not compared: there is no log yet")
    with use.database.reading() as session:
        found = nodes.seen(session, use)
    if wrong := [_unlike(node) for node in found if node.differs]:
        raise Wrong(*wrong)
    if not found:
        return f"no web server, worker or publisher was seen in the last {nodes.LIVES_FOR.seconds // 60} minutes"
    counted = [f"{sum(node.process == name for node in found)} {name}" for name in ("web", "worker", "publisher")]
    where = len({node.machine for node in found})
    return f"{', '.join(counted)} on {where} machine{'' if where == 1 else 's'}, with the settings and keys of this one"


def _unlike(node: nodes.Seen) -> str:
    names = ", ".join(node.differs)
    if node.is_here:
        return f"{node.process} here was started with another {names}: restart it"
    if node.differs == (nodes.CODE,):
        return f"{node.process} on {node.machine} runs other code than this machine: update one of them"
    return (
        f"{node.process} on {node.machine} has another {names} than this machine: make {FILE_NAME} and the key files "
        "alike on all machines, and restart"
    )


def log_replica(use: Resources) -> str:
    """Where the log is read, if not from the database itself: a replica, and of this database."""
    if use.log_replica is None:
        return "none: the log is read from the database itself"
    if use.database.dialect != "postgresql":
        raise Wrong("only PostgreSQL has replicas, and database_url is SQLite: remove log_replica_url")
    with use.database.reading() as session:
        newest = replica.newest_head(session)
    deadline = time.monotonic() + CATCHES_UP_SECONDS
    try:
        while not _has(use.log_replica, newest):
            if time.monotonic() > deadline:
                raise Wrong(
                    f"the replica at log_replica_url has not got the newest head in {CATCHES_UP_SECONDS} s, so the log "
                    "is read from the database itself: see why it lags, or whether it is another database's"
                )
            time.sleep(0.1)
    except DatabaseUnavailable as error:
        raise Wrong(f"at log_replica_url {error}; the log is read from the database itself") from None
    return "the replica at log_replica_url has the newest head"


def _has(database: Database, newest: LogHead | None) -> bool:
    with database.reading() as session:
        if not session.scalar(select(func.pg_is_in_recovery())):
            raise Wrong("the database at log_replica_url is no replica: correct log_replica_url, or remove it")
        return newest is None or replica.has_head(session, newest)


def limits(use: Resources) -> str:
    """Attempts to sign in are counted, and by all web processes together."""
    made = use.settings
    if made.redis_url is None:
        if made.web_workers == 1:
            return "attempts are counted in the only web process"
        return f"each of {made.web_workers} web processes counts attempts separately: set redis_url to share the counts"
    try:
        counts = storage_from_string(made.redis_url, wrap_exceptions=True, socket_timeout=REDIS_SECONDS).check()
    except StorageError:
        counts = False
    if not counts:
        raise Wrong(
            "the Redis server at redis_url does not respond, so nobody can sign in: start it, or correct redis_url"
        )
    return "attempts are counted in the Redis server at redis_url"
