"""The ledger of a load: what was asked and answered, what clients hold, and which promise broke. For many threads."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

UNAVAILABLE = 503
CUT_AFTER_KILL_SECONDS = 40  # as long as nginx may wait for a worker that is no more
FAULTS_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class Held:
    """A download that a client holds with its receipt. token: of its organization; record, salt: as answered."""

    download: str
    token: str
    receipt: str
    record: str
    salt: str
    at: float


@dataclass
class Ledger:
    """Moments are those of `time.monotonic`, durations seconds."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    downloads: dict[str, str] = field(default_factory=dict)  # id as it stands in a URL: kind of request
    keyed: set[tuple[str, str]] = field(default_factory=set)  # access key and path, of files that S3 tools have read
    receipts: list[Held] = field(default_factory=list)
    kills: list[tuple[float, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unlogged: set[str] = field(default_factory=set)  # downloads that were told as a fault already
    _cut: list[tuple[float, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, sentence: str) -> None:
        """A promise that broke; of many only the first are kept, and each sentence once."""
        with self._lock:
            if len(self.faults) < FAULTS_AT_MOST and sentence not in self.faults:
                self.faults.append(sentence)

    def asked(self, kind: str, status: int, began: float, wanted: Iterable[int], retry_after: str | None) -> bool:
        """Note an answer; return whether it is one of those that were wanted. 503 passes if it says when to return."""
        with self._lock:
            self.statuses[kind, status] += 1
            self.seconds[kind].append(time.monotonic() - began)
        if status in wanted:
            return True
        if status != UNAVAILABLE:
            self.fault(f"{kind}: status {status}")
        elif not (retry_after or "").isdigit():
            self.fault(f"{kind}: 503 without Retry-After")
        return False

    def cut(self, kind: str, error: Exception) -> None:
        """An answer that did not come, or not to its end: a killed worker's, or a fault."""
        with self._lock:
            self.statuses[kind, 0] += 1
            self._cut.append((time.monotonic(), f"{kind}: {type(error).__name__}"))

    def killed(self, what: str) -> None:
        with self._lock:
            self.kills.append((time.monotonic(), what))

    def holds(self, kind: str, answer: dict[str, Any], token: str) -> None:
        """A client has an answer of the API with URLs, each of which bears the download's id. token: as in Held."""
        ids = {download_of(file["url"]) for file in answer["files"]}
        if ids != {answer["id"]}:
            self.fault(f"{kind}: the URLs of download {answer['id']} bear other ids")
        held = Held(answer["id"], token, answer["receipt"], answer["record"], answer["salt"], time.monotonic())
        with self._lock:
            self.downloads |= dict.fromkeys(ids, kind)
            self.receipts.append(held)

    def holds_url(self, kind: str, url: str) -> None:
        self.holds_id(kind, download_of(url))

    def holds_id(self, kind: str, download: str) -> None:
        """As it was read from a URL."""
        with self._lock:
            self.downloads[download] = kind

    def holds_bytes(self, access_key_id: str, path: str) -> None:
        with self._lock:
            self.keyed.add((access_key_id, path))

    def held(self) -> tuple[set[str], list[Held]]:
        """Ids of all downloads that clients hold URLs of, and the receipts."""
        with self._lock:
            return set(self.downloads), list(self.receipts)

    def require_cuts_explained(self) -> None:
        """Only a kill cuts an answer off, and soon."""
        for at, what in self._cut:
            if not any(0 <= at - killed <= CUT_AFTER_KILL_SECONDS for killed, _ in self.kills):
                self.fault(f"{what}, and nothing had been killed")

    def rows(self) -> list[dict[str, Any]]:
        """One for each kind of request: how often which status, p50 and p99 in milliseconds. Status 0: no answer."""
        with self._lock:
            return [
                {
                    "kind": kind, "statuses": {str(status): self.statuses[one, status] for one, status in
                                               sorted(self.statuses) if one == kind},
                    "p50_ms": round(quantile(taken, 0.5) * 1000, 1), "p99_ms": round(quantile(taken, 0.99) * 1000, 1),
                }
                for kind, taken in sorted(self.seconds.items())
            ]  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def download_of(url: str) -> str:
    """The id that a signed URL bears."""
    (download,) = parse_qs(urlsplit(url).query)["x-download-id"]
    return download


class Asking:
    """One client: its session, which keeps connections as real ones do, and the ledger that it writes to."""

    def __init__(self, ledger: Ledger, url: str, authorities: str, token: str | None = None) -> None:
        self.ledger, self._url = ledger, url
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = authorities

    def ask(
        self, kind: str, method: str, path: str, wanted: Iterable[int] = (200,), **more: Any
    ) -> requests.Response | None:
        """Send one request; None for an answer that is not wanted, which the ledger then judges."""
        own = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        headers = own | more.pop("headers", {})
        began = time.monotonic()
        try:
            answer = self.session.request(
                method, self._url + path, headers=headers, timeout=60, allow_redirects=False, **more
            )
        except requests.RequestException as error:
            self.ledger.cut(kind, error)
            return None
        retry_after = answer.headers.get("Retry-After")
        return answer if self.ledger.asked(kind, answer.status_code, began, wanted, retry_after) else None
