"""The system's keyring, for tokens that shall not lie in a file. Optional: `pip install 'weightgate[keyring]'`."""

from typing import Any

from weightgate.verdicts import WrongUse

SERVICE = "weightgate"
_WITHOUT = "Unlock it, or use `weightgate login` without --keyring: the token is then stored in a file for you alone."


def write(name: str, token: str) -> None:
    """Store a server's token. Raises WrongUse, as the other two do, where there is no keyring that can be used."""
    _asked("set_password", name, token)


def read(name: str) -> str | None:
    """A server's token, if the keyring still has it."""
    token = _asked("get_password", name)
    return token if isinstance(token, str) else None


def delete(name: str) -> None:
    """Delete a server's token; one that somebody deleted already is fine."""
    if read(name) is not None:
        _asked("delete_password", name)


def _asked(method: str, *arguments: str) -> Any:
    try:
        import keyring  # heavy, and not everybody has it
        from keyring.errors import KeyringError
    except ImportError:
        raise WrongUse(
            "no_keyring",
            "The system's keyring cannot be used: the package keyring is not installed.",
            "Install it with `pip install keyring`, or use `weightgate login` without --keyring.",
        ) from None
    try:
        return getattr(keyring, method)(SERVICE, *arguments)
    except KeyringError as error:
        raise WrongUse(
            "no_keyring", f"The system's keyring cannot be used ({type(error).__name__}).", _WITHOUT
        ) from None
