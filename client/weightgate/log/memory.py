"""Memory: the keys and the newest head of each log that was ever verified from this machine.

A server that shows different logs to different people, or takes entries back, is caught by whoever remembers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from weightgate import state
from weightgate.log import head, note, witnesses
from weightgate.log.encoding import load_json_object
from weightgate.log.head import Head
from weightgate.log.keys import KeyPair, Keys
from weightgate.log.witnesses import Witnesses
from weightgate.verdicts import Malformed, Refuted, WrongUse

FILE_NAME = "log-memory.json"
_VERSION = 1
_SIZE_BYTES_AT_MOST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was seen of one log; empty at the first use. since: when, in RFC 3339; None where nobody wrote it.

    witnesses: those that were demanded last; None where none ever was.
    """

    keys: Keys = field(default_factory=Keys)
    head: Head | None = None
    since: str | None = None
    witnesses: Witnesses | None = None


class Memory:
    """The memory while its lock is held: see `opened`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logs = _load(path)

    def recall(self, origin: str) -> Remembered:
        """Raises WrongUse when what stands there cannot be: then somebody or something else wrote it."""
        stored = self._logs.get(origin)
        if stored is None:
            return Remembered()
        try:
            log_key, receipt_key = (note.parse_vkey(stored[name]) for name in ("log_vkey", "receipt_vkey"))
            last = head.read(stored["head"].encode(), log_key, "The remembered head")
            demanded = witnesses.demanded(stored.get("witnesses", ()), stored.get("witnesses_required"))
        except (Malformed, Refuted, WrongUse, LookupError, TypeError, AttributeError, UnicodeEncodeError):
            raise _damaged(self._path) from None
        if last.origin != origin:
            raise _damaged(self._path)
        return Remembered(Keys(log_key, receipt_key), last, stored.get("since"), demanded)

    def remember(self, origin: str, keys: KeyPair, last: Head, at: float, demanded: Witnesses | None = None) -> None:
        """Store what was verified, at once: a crash afterwards forgets nothing. at: seconds since 1970."""
        before = self._logs.get(origin)
        since = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._logs[origin] = {
            "since": since if before is None else before.get("since"),
            "log_vkey": str(keys.log),
            "receipt_vkey": str(keys.receipt),
            "head": last.note.decode(),
        }
        if demanded is not None:
            self._logs[origin] |= {
                "witnesses": [str(key) for key in demanded.keys], "witnesses_required": demanded.required,
            }  # fmt: skip
        self._write()

    def forget(self, origin: str) -> None:
        """Forget a log. Raises WrongUse when it is not remembered."""
        if self._logs.pop(origin, None) is None:
            known = ", ".join(sorted(self._logs)) or "none"
            raise WrongUse("not_remembered", f"The log {origin} is not remembered in {self._path}.", f"Known: {known}.")
        self._write()

    def told(self, origin: str) -> str:
        """Say what is remembered of a log: its keys by name and hash, since when, and where it is written."""
        known = self.recall(origin)
        named = " and ".join(f"{key.name}+{key.key_id.hex()}" for key in (known.keys.log, known.keys.receipt) if key)
        since = f"since {known.since}" if known.since else "from an earlier time"
        return f"The keys {named} of this log are remembered {since}, in {self._path}."

    def _write(self) -> None:
        text = json.dumps({"version": _VERSION, "logs": self._logs}, indent=2, ensure_ascii=False, sort_keys=True)
        state.write(self._path, f"{text}\n".encode())


@contextmanager
def opened(folder: Path) -> Iterator[Memory]:
    """Open and lock the memory in `folder`. Raises WrongUse when it cannot be used."""
    path = folder / FILE_NAME
    with state.locked(path):
        yield Memory(path)


def _load(path: Path) -> dict[str, Any]:
    data = state.read(path, _SIZE_BYTES_AT_MOST)
    if data is None:
        return {}
    try:
        fields = load_json_object(data)
    except Malformed:
        raise _damaged(path) from None
    logs = fields.get("logs")
    if fields.get("version") != _VERSION or len(data) > _SIZE_BYTES_AT_MOST or not isinstance(logs, dict):
        raise _damaged(path)
    return logs


def _damaged(path: Path) -> WrongUse:
    return WrongUse(
        "damaged_memory",
        f"The client's memory of logs is damaged: {path}.",
        "Restore it from a backup. If you delete it, the client forgets the logs it has seen.",
    )
