"""A machine that appends, seals and fails in any order, and compares the whole log with its definition each time."""

import contextlib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import make_url, select

from server.log import entries, sealing
from server.log.canonical import NotCanonical
from server.log.notes import Signer
from server.log.sealing import ENTRIES_A_ROUND
from server.storage.database import Database, DatabaseUnavailable
from tests.faults.commits import Fault, Switch
from tests.faults.proxy import Proxy
from tests.log.small_log import AT, SmallLog


class SignerBroken(Exception):
    """What a key in a device may answer."""


class SealingStates(RuleBasedStateMachine):
    """`sealed` and `waiting` are what the log must hold: commitments, in the order in which they were appended."""

    def __init__(self, new_database: Callable[[], str]) -> None:
        super().__init__()
        self.log = SmallLog(new_database())
        self.other = SmallLog(self.log.url, "other.example/downloads/2025")
        self.switch = Switch()
        self.proxy: Proxy | None = None
        self.faulty = Database(self._behind_the_switch())
        if self.faulty.dialect == "sqlite":
            group = self.faulty._group
            group._commit = self.switch.around(group._commit)  # type: ignore[method-assign]
        self.sealed: list[bytes] = []
        self.waiting: list[bytes] = []

    def _behind_the_switch(self) -> str:
        url = make_url(self.log.url)
        if url.port is None:
            return self.log.url
        self.proxy = Proxy(url.port, self.switch.verdict)
        self.proxy.__enter__()
        return url.set(port=self.proxy.port).render_as_string(hide_password=False)

    def _moved(self, count: int) -> None:
        assert count == min(len(self.waiting), ENTRIES_A_ROUND)
        self.sealed += self.waiting[:count]
        del self.waiting[:count]

    @initialize(size=st.sampled_from([0, 1, 254, 511]))
    def begin(self, size: int) -> None:
        """Near to where a tile is full."""
        if size:
            self.waiting = self.log.append(size)
            self._moved(self.log.seal())

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        self.waiting += self.log.append(count)

    @rule()
    def append_more_than_a_tile(self) -> None:
        self.waiting += self.log.append(258)

    @rule()
    def append_and_fail(self) -> None:
        """An act that is undone leaves nothing but, on PostgreSQL, a gap in the ids."""
        with contextlib.suppress(NotCanonical), self.log.database.transaction() as session:
            entries.append(session, kind="test", at=AT, record={})
            entries.append(session, kind="test", at=AT, record={"share": 0.5})  # which no record can hold

    @rule(counts=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def append_with_gaps(self, counts: list[int]) -> None:
        """Entries of another log lie between: on both databases this log's ids are runs of several lengths."""
        for count in counts:
            self.waiting += self.log.append(count)
            self.other.append(count)

    @rule()
    def seal(self) -> None:
        self._moved(self.log.seal())

    @rule()
    def seal_elsewhere(self) -> None:
        """Another sealer, which has seen nothing of what this one did."""
        self._moved(sealing.seal(self.faulty, self.log.signer, lambda: AT))

    @rule()
    def fail_before_the_commit(self) -> None:
        self._fail(Fault.NOT_STORED)

    @rule()
    def fail_after_the_commit(self) -> None:
        """The round is stored, and the sealer does not know it."""
        if self._fail(Fault.STORED):
            self._moved(min(len(self.waiting), ENTRIES_A_ROUND))

    @rule()
    def fail_while_signing(self) -> None:
        def broken(_: bytes) -> bytes:
            raise SignerBroken

        try:
            count = sealing.seal(self.log.database, Signer(self.log.signer.key, broken), lambda: AT)
        except SignerBroken:
            assert self.waiting or not self.sealed
        else:
            assert count == 0

    def _fail(self, fault: Fault) -> bool:
        self.switch.fault = fault
        try:
            sealing.seal(self.faulty, self.log.signer, lambda: AT)
        except DatabaseUnavailable:
            self._wait_until_undone()
            return True
        finally:
            self.switch.fault = Fault.NONE
        assert not self.waiting  # a round that has nothing to do may end without a commit
        return False

    def _wait_until_undone(self) -> None:
        """PostgreSQL notices a moment later that the connection is lost, and seals nothing before."""
        with self.log.database.transaction() as session:
            session.scalars(select(entries.Log).where(entries.Log.id == self.log.id).with_for_update()).one()

    @invariant()
    def everything_is_as_it_is_defined(self) -> None:
        self.log.check(self.sealed)
        with self.log.database.reading() as session:
            assert sealing._unsealed(session, self.log.id).ids == self._waiting_ids(session)

    def _waiting_ids(self, session: Any) -> list[int]:
        rows = (
            session.query(entries.LogEntry).filter_by(log_id=self.log.id, leaf_index=None).order_by(entries.LogEntry.id)
        )
        found = {row.commitment: row.id for row in rows}
        assert list(found) == self.waiting
        return list(found.values())[:ENTRIES_A_ROUND]

    def teardown(self) -> None:
        self.faulty.close()
        self.other.close()
        self.log.close()
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)
