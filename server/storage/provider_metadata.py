"""What an identity provider publishes, read strictly: endpoints and keys (OpenID Connect Discovery, RFC 8414)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key

from server.identity_providers import require_url
from server.storage.provider_answers import ProviderUnavailable

# Asymmetric ones: otherwise whoever knows the client secret, or nothing at all, could sign anybody in.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
RSA_CHARACTERS_AT_LEAST = 342  # of base64: 2048 bits
KEYS_AT_MOST = 100
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi"})
_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider says of itself. names_itself: whether its answers say whose they are (RFC 9207)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    secret_method: str  # how a client shows its secret


def read(said: dict[str, Any], issuer: str) -> Published:
    """Raises ProviderUnavailable for what is another issuer's, or could not sign anybody in securely."""
    if said.get("issuer") != issuer:
        raise ProviderUnavailable("it names another issuer than the settings do: write its issuer exactly as it does")
    if "code" not in _texts(said, "response_types_supported", ["code"]):
        raise ProviderUnavailable("it does not offer the authorization code flow")
    if "S256" not in _texts(said, "code_challenge_methods_supported", ["S256"]):
        raise ProviderUnavailable("it does not offer PKCE with S256")
    if not {*ALGORITHMS} & {*_texts(said, "id_token_signing_alg_values_supported", ["RS256"])}:
        raise ProviderUnavailable(f"it signs with none of {', '.join(ALGORITHMS)}")
    offered = _texts(said, "token_endpoint_auth_methods_supported", ["client_secret_basic"])
    method = next((one for one in _METHODS if one in offered), _METHODS[0])
    return Published(
        authorization_endpoint=_address(said, "authorization_endpoint"),
        token_endpoint=_address(said, "token_endpoint"),
        jwks_uri=_address(said, "jwks_uri"),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        secret_method=method,
    )


def usable_keys(said: dict[str, Any]) -> KeySet:
    """The public keys that can sign for us, of all that are published. Raises ProviderUnavailable where none can."""
    listed = said.get("keys")
    found = list(_keys(listed[:KEYS_AT_MOST])) if isinstance(listed, list) else []
    if not found:
        raise ProviderUnavailable(f"it publishes no key for {', '.join(ALGORITHMS)}")
    return KeySet([*found])


def _keys(listed: list[Any]) -> Iterator[RSAKey | ECKey | OKPKey]:
    for one in listed:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig" or one.get("alg", "RS256") not in ALGORITHMS:
            continue
        if one.get("kty") not in {"RSA", "EC", "OKP"}:
            continue
        if one["kty"] == "RSA" and len(str(one.get("n"))) < RSA_CHARACTERS_AT_LEAST:
            continue
        try:
            key = import_key({name: value for name, value in one.items() if name not in _PRIVATE})
        except (JoseError, ValueError, TypeError, LookupError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            yield key


def _address(said: dict[str, Any], name: str) -> str:
    try:
        return require_url(str(said.get(name)), query=True)  # an authorization endpoint may have one of its own
    except ValueError:
        raise ProviderUnavailable(f"its {name} is missing, or is not an https address") from None


def _texts(said: dict[str, Any], name: str, otherwise: list[str]) -> list[str]:
    value = said.get(name, otherwise)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
