"""Identity providers, asked by OpenID Connect: where people are sent, and whom the code that they bring is about."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from server.identity_providers import IdentityProvider
from server.storage import keys, provider_metadata
from server.storage.provider_answers import Ask, Proof, ProviderRefused
from server.storage.provider_fetches import ProviderFetches, as_object, typed_errors
from server.storage.provider_metadata import ALGORITHMS, Published

DISCOVERY = "/.well-known/openid-configuration"
KEPT_SECONDS = 3600  # how long what a provider publishes is taken to be as it was
KEYS_AGAIN_SECONDS = 60  # an unknown key may be a new one; whoever invents key IDs has us ask no more often
CLOCKS_DIFFER_SECONDS = 60
MAX_AGE_SECONDS = "43200"  # of a sign-in at the provider, as we ask for it
SUBJECT_CHARACTERS_AT_MOST = 255
_SCOPES = "openid profile"
_FIT_TO_QUOTE = re.compile(r"[\w .'\"-]{1,80}", re.ASCII)


class ProviderClient:
    """One provider, as this portal is its client. Keeps for a while what the provider publishes. Safe for threads."""

    def __init__(self, provider: IdentityProvider, redirect_uri: str, clock: Callable[[], datetime]) -> None:
        self.provider, self.redirect_uri, self._clock = provider, redirect_uri, clock
        self._fetches = ProviderFetches(provider.ca_file)
        self._published: tuple[float, Published] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def address(self, ask: Ask, *, anew: bool) -> str:
        """Where a browser is sent; `anew` to be asked there to sign in once more. Raises ProviderUnavailable."""
        published = self.published()
        # With max_age a provider says when somebody signed in; without that they are asked to confirm it here.
        more = {"prompt": "login", "max_age": "0"} if anew else {"max_age": MAX_AGE_SECONDS}
        if self.provider.second_factor_acr:
            more["acr_values"] = " ".join(self.provider.second_factor_acr)
        with self._session(None) as session:
            url, _ = session.create_authorization_url(
                published.authorization_endpoint, state=ask.state, code_verifier=ask.verifier, nonce=ask.nonce, **more
            )
        return str(url)

    def redeem(self, ask: Ask, code: str) -> Proof:
        """Exchange a code for whom it is about. Raises ProviderUnavailable, ProviderRefused, KeyFileError."""
        token = self._exchanged(ask, code)
        claims = self._verified(token)
        options = {
            "iss": {"essential": True, "value": self.provider.issuer},
            "aud": {"essential": True, "value": self.provider.client_id},
            "nonce": {"essential": True, "value": ask.nonce},
        }
        params = {"nonce": ask.nonce, "client_id": self.provider.client_id}
        try:
            CodeIDToken(claims.claims, claims.header, options, params).validate(
                now=int(self._clock().timestamp()), leeway=CLOCKS_DIFFER_SECONDS
            )
        except (JoseError, AuthlibBaseError, ValueError, TypeError) as error:
            raise ProviderRefused(f"its ID token is not for this sign-in ({_quoted(error)})") from None
        return _proof(self.provider, claims.claims)

    def published(self) -> Published:
        """What the provider publishes of itself. Raises ProviderUnavailable."""
        known = self._published
        if known is None or time.monotonic() > known[0] + KEPT_SECONDS:
            said = self._fetches.document(self.provider.issuer.rstrip("/") + DISCOVERY)
            known = self._published = time.monotonic(), provider_metadata.read(said, self.provider.issuer)
        return known[1]

    def keys(self, *, again: bool = False) -> KeySet:
        """The keys that the provider signs with. again: an unknown one was met. Raises ProviderUnavailable."""
        known, uri = self._keys, self.published().jwks_uri
        if known is None or time.monotonic() > known[0] + (KEYS_AGAIN_SECONDS if again else KEPT_SECONDS):
            known = self._keys = time.monotonic(), provider_metadata.usable_keys(self._fetches.document(uri))
        return known[1]

    def _exchanged(self, ask: Ask, code: str) -> str:
        published = self.published()
        with self._session(published.secret_method) as session, typed_errors():
            session.register_compliance_hook("access_token_response", _require_token)
            answer = session.fetch_token(
                published.token_endpoint, grant_type="authorization_code", code=code, code_verifier=ask.verifier,
                redirect_uri=self.redirect_uri, allow_redirects=False,
            )  # fmt: skip
        if not isinstance(token := answer.get("id_token"), str):
            raise ProviderRefused("its answer contains no ID token")
        return token

    def _verified(self, token: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        why = ""
        for again in (False, True):
            try:
                return jwt.decode(token, self.keys(again=again), algorithms=list(ALGORITHMS), registry=registry)
            except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                why = type(error).__name__
        raise ProviderRefused(f"its ID token is not signed by one of its keys ({why})")

    def _session(self, secret_method: str | None) -> OAuth2Session:
        """secret_method: how to show our secret; None to show none."""
        file = None if secret_method is None else self.provider.client_secret_file
        secret = None if file is None else keys.read_private(file).decode("utf-8", "replace").strip("\r\n")
        made = OAuth2Session(
            self.provider.client_id, secret, scope=_SCOPES, redirect_uri=self.redirect_uri,
            token_endpoint_auth_method="none" if secret is None else secret_method, code_challenge_method="S256",
        )  # fmt: skip
        return self._fetches.bounded(made, self.published().token_endpoint)


def _require_token(response: requests.Response) -> requests.Response:
    """Raises ProviderRefused for a code that is not accepted, ProviderUnavailable for what is no answer at all."""
    if response.status_code in {400, 401, 403}:
        raise ProviderRefused(f"it did not accept the code (it answered {response.status_code})")
    as_object(response)
    return response


def _proof(provider: IdentityProvider, claims: dict[str, Any]) -> Proof:
    """What of verified claims is used. Raises ProviderRefused for what has not its type."""
    subject, audience, authorized = claims["sub"], claims["aud"], claims.get("azp", provider.client_id)
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARACTERS_AT_MOST or not subject.isprintable():
        raise ProviderRefused("its ID token does not name a person as we can keep it")
    if audience not in (provider.client_id, [provider.client_id]) or authorized != provider.client_id:
        raise ProviderRefused("its ID token is not for this portal alone")
    at, amr, acr, name = claims.get("auth_time"), claims.get("amr", []), claims.get("acr"), claims.get("name")
    if not isinstance(at, int | None) or isinstance(at, bool) or not isinstance(amr, list):
        raise ProviderRefused("its ID token does not say in a known way when and how the person signed in")
    return Proof(
        provider.issuer, subject, name if isinstance(name, str) else "",
        None if at is None else _moment(at), frozenset(one for one in amr if isinstance(one, str)),
        acr if isinstance(acr, str) else None,
    )  # fmt: skip


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ProviderRefused("its ID token says a time that is none") from None


def _quoted(error: Exception) -> str:
    """The library's words, where they hold nothing that a token could have put there."""
    said = str(error)
    return said if _FIT_TO_QUOTE.fullmatch(said) else type(error).__name__
