"""Faults of a commit, switched on and off: it fails, or it is stored and its answer is lost. On both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import OperationalError

from tests.faults.proxy import Proxy, Verdict
from tests.world import WatchedResources, World, write_settings


class Fault(Enum):
    """What happens to commits now."""

    NONE = "none"
    NOT_STORED = "failed, and nothing is stored"
    STORED = "failed for the caller, yet stored"


class Switch:
    """The fault that is switched on."""

    def __init__(self) -> None:
        self.fault = Fault.NONE

    def verdict(self, chunk: bytes) -> Verdict:
        """For PostgreSQL, whose commits go over a connection: as text that ends with a zero byte, or as the statement
        that is a transaction by itself."""
        if b"COMMIT\0" not in chunk and b"append_under" not in chunk:
            return Verdict.PASS
        return {Fault.NONE: Verdict.PASS, Fault.NOT_STORED: Verdict.CUT, Fault.STORED: Verdict.CUT_ANSWER}[self.fault]

    def around(self, commit: Any) -> Any:
        """For SQLite: return what stands in for a group's commit."""

        def commit_or_fail(connection: Connection) -> None:
            fault = self.fault
            if fault is Fault.NOT_STORED:
                raise OperationalError("COMMIT", None, Exception("fault switch: not stored"))
            commit(connection)
            if fault is Fault.STORED:
                raise OperationalError("COMMIT", None, Exception("fault switch: stored, answer lost"))

        return commit_or_fail


@contextmanager
def faulty(world: World, folder: Path) -> Iterator[Switch]:
    """Give the world resources whose commits obey a switch."""
    switch = Switch()
    if world.kind == "sqlite":
        group = world.use.database._group
        group._commit = switch.around(group._commit)  # type: ignore[method-assign]
        yield switch
        switch.fault = Fault.NONE
        return
    url = make_url(world.settings.database_url)
    assert url.port is not None
    with Proxy(url.port, switch.verdict) as proxy:
        before = world.use
        behind = url.set(port=proxy.port).render_as_string(hide_password=False)
        world.use = WatchedResources(write_settings(world.template, folder / "behind-proxy", behind), world.clock)
        try:
            yield switch
        finally:
            switch.fault = Fault.NONE
            before.watched.urls += world.signed_urls
            world.use.close()
            world.use = before
