"""Sending parts to the store: each again until it has arrived, under fresh URLs where the old ones have expired."""

from collections.abc import Iterator
from types import TracebackType

from weightgate.download.patience import Patience
from weightgate.download.progress import Progress
from weightgate.http import LOST, Kept, reason
from weightgate.upload.part_urls import Part, PartUrls, Slot
from weightgate.verdicts import CannotTell

TIMEOUT_SECONDS = 60.0
_PIECE_BYTES = 256 * 1024
_TRIES = 3  # of a part that arrives damaged; and so many failed ones are not what patience is short of
_FRESH_TRIES = 5  # of URLs that are refused one after the other
_ANSWER_BYTES_AT_MOST = 65_536
_TAKEN = {200, 201, 204}
_REFUSES_URL = {401, 403, 404}  # 404: the store has forgotten what was begun; the server begins it anew


class Sender:
    """One thread's connection to the store, used again for every part."""

    def __init__(self, urls: PartUrls, progress: Progress, patience: Patience, ca: str | None) -> None:
        self._urls, self._progress, self._patience = urls, progress, patience
        self._connection = Kept(ca, TIMEOUT_SECONDS)

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.hang_up()

    def send(self, part: Part) -> None:
        """Send a part unless it has arrived. Raises Refused, Failed for a file that has changed, or CannotTell."""
        slot, damaged, refusals, attempt = self._urls.of(part), 0, 0, 0
        while slot.url is not None:
            content = part.file.read(part.number)
            status, lost = self._put(slot.url, slot, content)
            if status in _TAKEN:
                self._patience.heard()
                return
            if status in _REFUSES_URL and (refusals := refusals + 1) <= _FRESH_TRIES:
                slot = self._urls.of(part, slot)
                continue
            if status == 400 and (damaged := damaged + 1) < _TRIES:
                part.file.require_same(part.number, content)
                continue
            if status not in {0, 429} and status < 500:
                raise _refusal(part, status)
            if attempt < _TRIES:
                self._patience.heard()  # a try can take minutes on a slow line
            self._patience.wait(attempt, lost)
            attempt += 1
            slot = self._urls.of(part)
        self._progress.add(part.size_bytes, fetched=False)  # by an earlier run

    def _put(self, url: str, slot: Slot, content: bytes) -> tuple[int, str]:
        """Return the store's status, 0 where there was none, and why. What did not arrive is not counted."""
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            for begin in range(0, len(content), _PIECE_BYTES):
                self._patience.require()
                piece = content[begin : begin + _PIECE_BYTES]
                yield piece
                sent += len(piece)
                self._progress.add(len(piece))

        status, why = self._answer(url, slot, pieces())
        if status not in _TAKEN:
            self._progress.add(-sent)
            self._connection.hang_up()
        return status, why

    def _answer(self, url: str, slot: Slot, body: Iterator[bytes]) -> tuple[int, str]:
        try:
            response = self._connection.ask("PUT", url, slot.headers, body)
            response.read(_ANSWER_BYTES_AT_MOST)
        except LOST as error:
            return 0, f"the store: {reason(error)}"
        return response.status, f"the store cannot answer now (HTTP {response.status})"


def _refusal(part: Part, status: int) -> CannotTell:
    what = f"part {part.number} of {part.file.path}"
    if status in _REFUSES_URL:
        return CannotTell(
            "store_refuses",
            f"The store refuses URLs for {what} that the server has just issued (HTTP {status}).",
            "Check this machine's clock and network, or ask the lab.",
        )
    if status == 413:
        return CannotTell(
            "too_large",
            f"A proxy on the way to the store does not let {what} through (HTTP 413).",
            f"Ask the lab to allow request bodies of {part.size_bytes} bytes to the store.",
        )
    return CannotTell("not_stored", f"The store did not take {what} (HTTP {status}).", "Try again, or tell the lab.")
