"""The floor of a download: receive and write ranges, check nothing.

Run: python -m tests.bench.floor DIR [--sync] < answer. With --sync, the disk has what was written, as ours demands.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

RANGE_BYTES, PIECE_BYTES, THREADS = 64 << 20, 256 << 10, 8
_KEPT = threading.local()


def fetch(folder: Path, file: dict[str, Any], begin: int, *, sync: bool) -> None:
    end, parts = min(begin + RANGE_BYTES, file["size_bytes"]), urlsplit(file["url"])
    connection = _connection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}", headers={"Range": f"bytes={begin}-{end - 1}"})
    answer, buffer = connection.getresponse(), memoryview(bytearray(PIECE_BYTES))
    target = os.open(folder / file["path"], os.O_WRONLY | os.O_CREAT)
    while count := answer.readinto(buffer):
        os.pwrite(target, buffer[:count], begin)
        begin += count
    if sync:
        os.fdatasync(target)
    os.close(target)


def _connection(place: str) -> HTTPConnection:
    """This thread's own, kept from file to file: all of them are in one store."""
    if not hasattr(_KEPT, "connection"):
        _KEPT.connection = HTTPConnection(place, timeout=60)
    connection: HTTPConnection = _KEPT.connection
    return connection


def main() -> None:
    folder, sync = Path(sys.argv[1]), sys.argv[2:] == ["--sync"]
    files = json.load(sys.stdin)["files"]
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [
            pool.submit(fetch, folder, file, begin, sync=sync)
            for file in files
            for begin in range(0, file["size_bytes"], RANGE_BYTES)
        ]
        for done in waiting:
            done.result()


if __name__ == "__main__":
    main()
