"""Credentials: the token of each server that `weightgate login` was told, in a file for its owner alone."""

import json
from dataclasses import dataclass
from pathlib import Path

from weightgate import state
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import Malformed, WrongUse

FILE_NAME = "credentials.json"
TOKEN_BYTES_AT_MOST = 4096
_SIZE_BYTES_AT_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """endpoint: of the newest login, asked where none is named."""

    endpoint: str | None
    tokens: dict[str, str]

    def token_of(self, endpoint: str) -> str | None:
        return self.tokens.get(_name(endpoint))


def load(folder: Path) -> Credentials:
    """What was stored. Raises WrongUse for a file that cannot be read, or that others can."""
    path = folder / FILE_NAME
    data = state.read(path, _SIZE_BYTES_AT_MOST)
    if data is None:
        return Credentials(None, {})
    try:
        fields = load_json_object(data)
        endpoint, tokens = fields["endpoint"], {str(name): str(token) for name, token in fields["tokens"].items()}
    except (Malformed, LookupError, AttributeError):
        raise WrongUse("damaged_memory", f"{path} is damaged.", "Delete it, and use `weightgate login`.") from None
    return Credentials(endpoint if isinstance(endpoint, str) else None, tokens)


def store(folder: Path, endpoint: str, token: str) -> None:
    """Remember a token, and its server as the one that is asked from now on."""
    path = folder / FILE_NAME
    with state.locked(path):
        _write(path, endpoint, load(folder).tokens | {_name(endpoint): token})


def remove(folder: Path, endpoint: str | None) -> str:
    """Forget a server's token, without an endpoint the newest login's; return whose. Raises WrongUse for none."""
    path = folder / FILE_NAME
    with state.locked(path):
        known = load(folder)
        whose = endpoint or known.endpoint
        tokens = dict(known.tokens)
        if whose is None or tokens.pop(_name(whose), None) is None:
            raise WrongUse("not_logged_in", "No token of this server is stored.", "`weightgate login` stores one.")
        _write(
            path, None if known.endpoint is None or _name(whose) == _name(known.endpoint) else known.endpoint, tokens
        )
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


def _write(path: Path, endpoint: str | None, tokens: dict[str, str]) -> None:
    text = json.dumps({"version": 1, "endpoint": endpoint, "tokens": tokens}, indent=2, sort_keys=True)
    state.write(path, f"{text}\n".encode())


def _name(endpoint: str) -> str:
    return endpoint.rstrip("/").lower()
