"""The order of rows: ids rise as the sealer numbers them, so that lists by id and the tree tell the same story.

A round takes what waits in the order of ids, so within a round they rise. On SQLite one transaction writes at a time:
they rise through the whole log. On PostgreSQL an entry may be given its id, and commit only after a later one was
sealed; then it was appended before that round, as far as clocks of several machines agree.
"""

from datetime import datetime

from server.log.entries import CLOCKS_DIFFER_BY


class RowOrder:
    """Takes a log's sealed rows in the tree's order, and its heads between them."""

    def __init__(self, *, one_writer: bool) -> None:
        self._one_writer = one_writer
        self._last = self._highest = 0  # ids: of this round's newest row, and of all rounds before
        self._sealed_at: datetime | None = None  # when that highest one was

    def take(self, row_id: int, appended_at: datetime) -> bool:
        """Whether the row may have its place after those before it."""
        fits = row_id > self._last and (row_id > self._highest or self._was_on_its_way(appended_at))
        self._last = row_id
        if not fits:  # what comes after is held against this row, and not against the one that was moved up
            self._highest = min(self._highest, row_id)
        return fits

    def end_round(self, sealed_at: datetime) -> None:
        """A head was signed over the rows so far."""
        if self._last > self._highest:
            self._highest, self._sealed_at = self._last, sealed_at
        self._last = 0

    def _was_on_its_way(self, appended_at: datetime) -> bool:
        if self._one_writer or self._sealed_at is None:
            return False
        return appended_at <= self._sealed_at + CLOCKS_DIFFER_BY
