"""Where settings come from: a TOML file and WEIGHTGATE_* variables, and how a fault in them is said."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_NAME = "weightgate.toml"
PREFIX = "WEIGHTGATE_"
# Variables of ours that are not settings: the folder, and the password a script proves itself with.
# Those of the client, and those that the demo prints to export, may be there as well.
NOT_SETTINGS = frozenset(f"{PREFIX}{name}" for name in ("DATA", "PASSWORD", "TOKEN", "ENDPOINT", "STATE"))
# Kubernetes tells each container of every service near it; one that is called `weightgate…` speaks in our prefix.
_SERVICE_LINK = re.compile(
    r"(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=\d+|PORT=(tcp|udp|sctp)://.*"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)"
)


class SettingsError(Exception):
    """The settings cannot be used. The text names the key and the fix, never a value that could be secret."""


def from_file(path: Path) -> dict[str, Any]:
    """What a settings file says. Raises SettingsError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"no settings at {path}: create them with `weightgate-server init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {type(error).__name__}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    if "folder" in values:
        raise SettingsError("folder: unknown key; the folder is always that of the settings file")
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """What our variables say. Raises SettingsError."""
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        is_link = _SERVICE_LINK.fullmatch(f"{variable.removeprefix(PREFIX)}={text}") is not None
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS and not is_link:
            name = variable.removeprefix(PREFIX).lower()
            if name == "folder":
                raise SettingsError(f"{variable}: unknown variable; use WEIGHTGATE_DATA")
            values[name] = _value_of(name, text)
    return values


def _value_of(name: str, text: str) -> Any:
    if name in {"trusted_proxies", "workload_issuers"}:
        return [part.strip() for part in text.split(",") if part.strip()]
    if name not in {"identity_providers", "witnesses"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"{PREFIX}{name.upper()}: write a JSON array, or set it in {FILE_NAME}") from None


def sentence(error: Any, variables: Mapping[str, Any]) -> str:
    """One of pydantic's faults, with its key and the fix. variables: the keys that were given as variables."""
    key = ".".join(str(part) for part in error["loc"]) or "settings"
    if key.partition(".")[0] in variables:
        key += f" (from {PREFIX}{key.partition('.')[0].upper()})"
    if error["type"] == "missing":
        return f"{key}: missing; add it to {FILE_NAME} (see config/example.toml)"
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its spelling (see config/example.toml)"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"
