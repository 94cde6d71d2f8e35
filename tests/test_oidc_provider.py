"""The tests' identity provider is one: people sign in with it, and programs get tokens from it."""

import base64
import json

from tests.oidc_provider import AUDIENCE, MACHINE, OTHER, OidcProvider


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_people_sign_in_and_programs_get_tokens(oidc_provider: OidcProvider) -> None:
    """With new keys after a restart, and still with the same name."""
    told = claims_of(oidc_provider.id_token("ada"))
    assert (told["iss"], told["sub"], told["aud"], told["nonce"]) == (oidc_provider.issuer, "ada", OTHER, "n")
    claims = claims_of(oidc_provider.machine_token())
    assert (claims["iss"], claims["sub"], claims["aud"]) == (oidc_provider.issuer, MACHINE, AUDIENCE)
    assert {"jti", "exp", "iat", "run_id"} <= claims.keys()
    oidc_provider.end()
    oidc_provider.start()
    assert claims_of(oidc_provider.machine_token())["iss"] == oidc_provider.issuer
