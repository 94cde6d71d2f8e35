"""URLs: issued for all files in one request, and again for those that need one, while access lasts."""

import json
import threading
import time
from typing import Any

from weightgate import asking
from weightgate.download.folder import Folder
from weightgate.download.manifest import File
from weightgate.download.patience import Patience
from weightgate.http import Server, require_safe
from weightgate.log import answer
from weightgate.verdicts import CannotTell, Refused, Refuted, WrongUse

_LONGEST_WAIT_SECONDS = 60  # for a request rate; a quota of a day is not waited for
_DOWNLOADS = "/api/v1/downloads"


class Urls:
    """The URLs of one download, and of those that renew it. Used by all threads."""

    def __init__(self, server: Server, folder: Folder, patience: Patience) -> None:
        self._server = server
        self._folder = folder
        self._patience = patience
        self._lock = threading.Lock()
        self._files: dict[str, File] = {}
        self._urls: dict[str, str] = {}
        self._first = ""
        self._began_at = 0.0
        self._lifetime_seconds = 0.0
        self.receipts: list[str] = []

    def issue(self, stage: str, checkpoint: str, files: list[File]) -> None:
        """Order all files. Raises Refused, Refuted or CannotTell."""
        self._files = {file.path: file for file in files}
        body = {"stage": stage, "checkpoint": checkpoint, "paths": [file.path for file in files]}
        self._first = self._take(_DOWNLOADS, body)
        self._began_at = time.monotonic()

    def of(self, file: File) -> str:
        return self._urls[file.path]

    def drop(self, file: File) -> None:
        """The file is whole: it needs no URL any more."""
        with self._lock:
            self._files.pop(file.path, None)

    def renew(self, file: File, refused: str, done_bytes: int) -> None:
        """Replace a URL that the store has refused, unless another thread did. done_bytes: what has arrived so far.

        As many files are renewed with it as can arrive while the new URLs last: each one counts against the quota.
        """
        with self._lock:
            if self._urls[file.path] != refused:
                return
            speed = done_bytes / max(time.monotonic() - self._began_at, 0.001)
            room = speed * self._lifetime_seconds - file.size_bytes
            wanted = [file.path]
            for other in self._files.values():
                if room <= 0:
                    break
                if other.path != file.path:
                    wanted.append(other.path)
                    room -= other.size_bytes
            self._take(f"{_DOWNLOADS}/{self._first}/urls", {"paths": wanted})

    def _take(self, path: str, body: dict[str, Any]) -> str:
        issued = self._asked(path, body)
        try:
            saved = answer.parse(json.dumps(issued).encode())
        except WrongUse:
            raise CannotTell("malformed_answer", "The server's answer is no download.", "Check --endpoint.") from None
        answer.require_agreement(saved)
        urls = {}
        for one in saved.files:
            file = self._files.get(one["path"])
            if file is None or (one["sha256"], one["size_bytes"]) != (file.sha256, file.size_bytes):
                raise Refuted("other_files", "The server issued other files than those that the manifest names.")
            require_safe(str(one.get("url")))
            urls[file.path] = str(one["url"])
        if urls.keys() != set(body["paths"]):
            raise Refuted("other_files", "The server issued other files than those that were asked for.")
        self.receipts.append(str(self._folder.keep_receipt(issued)))
        self._lifetime_seconds = _lifetime(saved.record)
        self._urls |= urls
        return saved.id

    def _asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        attempt = 0
        while True:
            try:
                return asking.post(self._server, path, body)
            except Refused as refused:
                seconds = refused.retry_after_seconds
                if seconds is None or seconds > _LONGEST_WAIT_SECONDS:
                    raise
                self._patience.pause(seconds)
            except CannotTell as unknown:
                if unknown.verdict.code not in {"unreachable", "no_answer"} or not self.receipts:
                    raise  # at the beginning, nothing is lost by saying so at once
                self._patience.wait(attempt, "the server does not respond")
                attempt += 1


def _lifetime(record: str) -> float:
    seconds = json.loads(record).get("lifetime_seconds")
    return float(seconds) if isinstance(seconds, int) else 0.0
