"""Requests: bodies read strictly, and the client's address believed only as far as our own proxies go."""

import ipaddress
import json
from typing import Any

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from server.domain.errors import InvalidRequest

BODY_BYTES_AT_MOST = 1_000_000  # a thousand paths of 512 characters fit well


class StrictRequest(Request):
    """A request whose JSON has no second meaning: no duplicate keys, no NaN, valid UTF-8, the right content type."""

    max_content_length = BODY_BYTES_AT_MOST

    def get_json(self, *_: Any, **__: Any) -> Any:
        if self.mimetype != "application/json":
            raise UnsupportedMediaType("Send JSON with `Content-Type: application/json`.")
        try:
            return json.loads(
                self.get_data().decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
            )
        except UnicodeDecodeError:
            raise InvalidRequest("The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
        except RecursionError:
            raise InvalidRequest("The body is nested too deeply.") from None


def client_address(peer: str | None, forwarded_for: str, trusted: tuple[str, ...]) -> str | None:
    """Return who asks: the nearest address that is not one of our proxies.

    X-Forwarded-For is written by anyone; each proxy appends whom it heard from, so it is read from the right, and only
    while the speaker is trusted.
    """
    networks = [ipaddress.ip_network(network) for network in trusted]
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    address = peer
    while hops and _lies_in(address, networks):
        address = hops.pop()
    try:
        return str(ipaddress.ip_address(address or ""))
    except ValueError:
        return None


def _lies_in(address: str | None, networks: list[Any]) -> bool:
    try:
        return any(ipaddress.ip_address(address or "") in network for network in networks)
    except ValueError:
        return False


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("An object in the body has the same key twice.")
    return found


def _no_constant(name: str) -> Any:
    raise InvalidRequest(f"{name} is not JSON.")
