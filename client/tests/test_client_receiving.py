"""Receiving: a slow line is read in small pieces and a fast one in large ones, and every piece shows that it lives."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from weightgate.download import receiving
from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import PartialFile
from weightgate.download.patience import Patience
from weightgate.download.progress import Progress
from weightgate.download.receiving import Receiver

CONTENT = os.urandom(5 * 1024 * 1024 + 1)
KIB = 1024


class Urls:
    """One URL for everything."""

    def __init__(self, url: str) -> None:
        self.url = url

    def of(self, _: File) -> str:
        return self.url


class Watched(Progress):
    """Keeps what it was told, and with it how often the network had been heard."""

    def __init__(self, patience: "Counting") -> None:
        super().__init__()
        self.pieces, self.heard_before, self._patience = list[int](), list[int](), patience

    def add(self, count: int, *, fetched: bool = True) -> None:
        super().add(count, fetched=fetched)
        self.pieces.append(count)
        self.heard_before.append(self._patience.times)


class Counting(Patience):
    times = 0

    def heard(self) -> None:
        super().heard()
        self.times += 1


@pytest.fixture
def url() -> Iterator[str]:
    """A store that answers one request with all of the content."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/file"


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        span = f"Content-Range: bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(CONTENT)}\r\n{span}\r\n\r\n"
        connection.sendall(head.encode() + CONTENT)


@pytest.mark.parametrize(
    ("moment_seconds", "first", "later"),
    [(0.0, [256, 128, 64], 64), (3600.0, [256, 512, 1024], 1024)],
    ids=["slow", "fast"],
)
def test_pieces_are_as_large_as_the_line_is_fast(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment_seconds: float, first: list[int], later: int
) -> None:
    """On a slow line it can tell how far it is, and stop, several times a minute, long before a block is full."""
    monkeypatch.setattr(receiving, "_MOMENT_SECONDS", moment_seconds)
    patience = Counting()
    watched, digest = Watched(patience), hashlib.sha256(CONTENT).hexdigest()
    chunk = Chunk(0, len(CONTENT), digest)
    file, partial = File("file", digest, (chunk,)), PartialFile(tmp_path / "partial", len(CONTENT))
    urls: Any = Urls(url)
    with Receiver(urls, watched, patience, None) as receiver:
        receiver.receive(file, chunk, partial)
    partial.finish(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    pieces = [count / KIB for count in watched.pieces]
    assert pieces[:3] == first
    assert set(pieces[3:-1]) == {later}
    assert watched.heard_before == list(range(len(pieces))), "a block can take minutes on a slow line"
