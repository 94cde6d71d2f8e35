"""Downloading as a careful client does: in ranges, several at once, with fresh URLs when the first have ended."""

import hashlib
import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.world import World

RANGES_AT_ONCE = 4


def get(url: str, begin: int | None = None, end: int | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Ask the store for a URL, or a range of it (`end` excluded); return status and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        headers = {} if begin is None or end is None else {"Range": f"bytes={begin}-{end - 1}"}
        connection.request(method, url.removeprefix(f"{parts.scheme}://{parts.netloc}"), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def order(world: World, stage: str, token: str | None = "cleared", **more: Any) -> dict[str, Any]:
    answer = world.api("POST", "/downloads", token, json={"stage": stage, **more})
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json
    return issued


def renew(world: World, download_id: str, paths: list[str], token: str | None = "cleared") -> dict[str, str]:
    """Fresh URLs, by path."""
    answer = world.api("POST", f"/downloads/{download_id}/urls", token, json={"paths": paths})
    assert answer.status_code == 201, answer.text
    return {file["path"]: file["url"] for file in answer.json["files"]}


def fetch(url: str, path: Path, size_bytes: int, range_bytes: int, fresh: Callable[[], str] | None = None) -> int:
    """Fetch one file in ranges, several at once; return how many were asked again under a fresh URL.

    fresh: called when the URL is refused, for one that works.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        target.truncate(size_bytes)
    current, again = [url], 0
    with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
        missing = list(_ranges(size_bytes, range_bytes))
        while missing:
            statuses = list(pool.map(lambda part: _fetch_range(current[0], path, *part), missing))
            assert set(statuses) <= {206, 403}
            missing = [part for part, status in zip(missing, statuses, strict=True) if status != 206]
            if missing:
                assert fresh is not None
                again += len(missing)
                current[0] = fresh()
    return again


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _ranges(size_bytes: int, range_bytes: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, size_bytes, range_bytes):
        yield begin, min(begin + range_bytes, size_bytes)


def _fetch_range(url: str, path: Path, begin: int, end: int) -> int:
    status, body = get(url, begin, end)
    if status == 206:
        assert len(body) == end - begin
        with path.open("r+b") as target:
            target.seek(begin)
            target.write(body)
    return status
