"""Credentials: the token of each server that `weightgate login` was told, in its owner's file or the keyring."""

import json
from dataclasses import dataclass
from pathlib import Path

from weightgate import state, system_keyring
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import Malformed, WrongUse

FILE_NAME = "credentials.json"
TOKEN_BYTES_AT_MOST = 4096
_SIZE_BYTES_AT_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """endpoint: of the newest login, asked where none is named. in_keyring: the servers whose tokens are there."""

    endpoint: str | None
    tokens: dict[str, str]
    in_keyring: frozenset[str] = frozenset()

    def token_of(self, endpoint: str) -> str | None:
        """The token for a server. Raises WrongUse where it is in a keyring that cannot be used."""
        name = _name(endpoint)
        return system_keyring.read(name) if name in self.in_keyring else self.tokens.get(name)

    def without(self, name: str) -> "Credentials":
        """The same without a server's token, wherever it was."""
        others = {known: token for known, token in self.tokens.items() if known != name}
        return Credentials(self.endpoint, others, self.in_keyring - {name})


def load(folder: Path) -> Credentials:
    """What was stored. Raises WrongUse for a file that cannot be read, or that others can."""
    path = folder / FILE_NAME
    data = state.read(path, _SIZE_BYTES_AT_MOST)
    if data is None:
        return Credentials(None, {})
    try:
        fields = load_json_object(data)
        endpoint, tokens = fields["endpoint"], {str(name): str(token) for name, token in fields["tokens"].items()}
        in_keyring = frozenset(map(str, fields.get("in_keyring", [])))
    except (Malformed, LookupError, AttributeError, TypeError):
        raise WrongUse("damaged_memory", f"{path} is damaged.", "Delete it, and use `weightgate login`.") from None
    return Credentials(endpoint if isinstance(endpoint, str) else None, tokens, in_keyring)


def store(folder: Path, endpoint: str, token: str, *, in_keyring: bool = False) -> None:
    """Remember a token, and its server as the one that is asked from now on. Raises WrongUse."""
    path, name = folder / FILE_NAME, _name(endpoint)
    with state.locked(path):
        known = load(folder)
        others = known.without(name)
        if in_keyring:
            system_keyring.write(name, token)
            _write(path, Credentials(endpoint, others.tokens, others.in_keyring | {name}))
            return
        _write(path, Credentials(endpoint, others.tokens | {name: token}, others.in_keyring))
        if name in known.in_keyring:
            system_keyring.delete(name)


def remove(folder: Path, endpoint: str | None) -> str:
    """Forget a server's token, without an endpoint the newest login's; return whose. Raises WrongUse for none."""
    path = folder / FILE_NAME
    with state.locked(path):
        known = load(folder)
        whose = endpoint or known.endpoint
        if whose is None or _name(whose) not in known.tokens.keys() | known.in_keyring:
            raise WrongUse("not_logged_in", "No token of this server is stored.", "`weightgate login` stores one.")
        if _name(whose) in known.in_keyring:
            system_keyring.delete(_name(whose))
        others = known.without(_name(whose))
        is_newest = known.endpoint is not None and _name(known.endpoint) == _name(whose)
        _write(path, Credentials(None if is_newest else known.endpoint, others.tokens, others.in_keyring))
    return whose


def read_token_file(path: Path) -> str:
    """Return the token that a file contains. Raises WrongUse."""
    try:
        with path.open("rb") as file:
            return file.read(TOKEN_BYTES_AT_MOST).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise WrongUse(
            "bad_token", f"Cannot read a token from {path}.", "Choose a file that contains a token."
        ) from None


def _write(path: Path, known: Credentials) -> None:
    fields: dict[str, object] = {"version": 1, "endpoint": known.endpoint, "tokens": known.tokens}
    if known.in_keyring:
        fields["in_keyring"] = sorted(known.in_keyring)
    text = json.dumps(fields, indent=2, sort_keys=True)
    state.write(path, f"{text}\n".encode())


def _name(endpoint: str) -> str:
    return endpoint.rstrip("/").lower()
