"""Pins: the manifest key of each server, remembered from the first use; another one later is refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from weightgate import state
from weightgate.download import bundle
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import Malformed, Refuted, WrongUse

FILE_NAME = "manifest-keys.json"
_SIZE_BYTES_AT_MOST = 4 * 1024 * 1024
_KEY_BYTES_AT_MOST = 16 * 1024


class Pins:
    """The remembered keys by endpoint, while their lock is held: see `opened`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)

    def recall(self, endpoint: str) -> ec.EllipticCurvePublicKey | None:
        stored = self._known.get(_name(endpoint))
        try:
            return None if stored is None else bundle.load_key(stored["key"].encode())
        except (Malformed, LookupError, TypeError, AttributeError):
            raise _damaged(self._path) from None

    def pin(self, endpoint: str, key: ec.EllipticCurvePublicKey, at: float) -> None:
        """Remember a server's key. Raises Refuted when another one is remembered. at: seconds since 1970."""
        known = self.recall(endpoint)
        if known is not None and bundle.pem(known) != bundle.pem(key):
            raise Refuted(
                "key_changed",
                f"The manifest key of {endpoint} is {bundle.fingerprint(key)[:16]}…; remembered since "
                f"{self._known[_name(endpoint)].get('since')} is {bundle.fingerprint(known)[:16]}…, in {self._path}.",
                "Ask the lab which key is correct; do not use this server to ask. Only if this is another server at "
                f"the same address, such as a new demo: `weightgate forget {endpoint}`.",
            )
        if known is None:
            since = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
            self._known[_name(endpoint)] = {"key": bundle.pem(key).decode("ascii"), "since": since}
            self._write()

    def forget(self, endpoint: str) -> None:
        """Forget a server's key. Raises WrongUse when none is remembered."""
        if self._known.pop(_name(endpoint), None) is None:
            known = ", ".join(sorted(self._known)) or "none"
            raise WrongUse(
                "not_remembered", f"No key of {endpoint} is remembered in {self._path}.", f"Known servers: {known}."
            )
        self._write()

    def _write(self) -> None:
        text = json.dumps({"version": 1, "servers": self._known}, indent=2, sort_keys=True)
        state.write(self._path, f"{text}\n".encode())


@contextmanager
def opened(folder: Path) -> Iterator[Pins]:
    """Open and lock the pins in the client's folder for state. Raises WrongUse when it cannot be used."""
    path = folder / FILE_NAME
    with state.locked(path):
        yield Pins(path)


def read_key_file(path: Path) -> ec.EllipticCurvePublicKey:
    """Return the key that the lab gave in another way. Raises WrongUse."""
    try:
        with path.open("rb") as file:
            return bundle.load_key(file.read(_KEY_BYTES_AT_MOST))
    except OSError as error:
        raise WrongUse("bad_key", f"Cannot read {path}: {error.strerror}.", "Choose a PEM file.") from None
    except Malformed as error:
        raise WrongUse("bad_key", f"{path} contains no manifest key: {error}.", "Choose a PEM file.") from None


def _name(endpoint: str) -> str:
    return endpoint.rstrip("/").lower()


def _load(path: Path) -> dict[str, Any]:
    data = state.read(path, _SIZE_BYTES_AT_MOST)
    if data is None:
        return {}
    try:
        known = load_json_object(data).get("servers")
    except Malformed:
        known = None
    if not isinstance(known, dict):
        raise _damaged(path)
    return known


def _damaged(path: Path) -> WrongUse:
    return WrongUse(
        "damaged_memory",
        f"The client's memory of manifest keys is damaged: {path}.",
        "Restore it from a backup. If you delete it, the client forgets the keys it has seen.",
    )
