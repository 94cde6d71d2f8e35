"""Delivery, tried as a stranger would try it: what serves files for the store serves what we signed, and no more."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.storage import cloudfront_keys, probes
from server.storage.signing import StoredObject

_REFUSED = 403


def cloudfront(use: Resources) -> str:
    """CloudFront serves what we signed for it, and nothing else."""
    if use.settings.delivery != "cloudfront":
        return "not used: URLs lead to the store (delivery is s3)"
    with probe(use) as key:
        good, expired = _for_cloudfront(use, key), _for_cloudfront(use, key, age=timedelta(hours=1))
        if (status := probes.status_of(good)) != 200:
            raise Wrong(
                f"a new URL for CloudFront returns {status}: check that the key group has the key of "
                "cloudfront_key_file, that the distribution requires it, and that it may read the bucket"
            )
        begins = good.index("Signature=") + 20  # neither its end, where characters may stand for the same bytes
        altered = f"{good[:begins]}{'A' if good[begins] != 'A' else 'B'}{good[begins + 1 :]}"
        for url, what in (
            (good.partition("?")[0], "without a signature"), (altered, "with an altered signature"),
            (f"{good}&x-more=1", "that was added to"), (expired, "that has expired"),
            (good.replace(key, f"{key}-other"), "that was signed for another file"),
        ):  # fmt: skip
            if probes.status_of(url) != _REFUSED:
                raise Wrong(f"CloudFront does not refuse a URL {what}: make its behavior require the key group")
    return f"{use.settings.cloudfront_url} serves signed URLs, and refuses altered and expired ones"


def _for_cloudfront(use: Resources, key: str, age: timedelta = timedelta(0)) -> str:
    """Bound to no address: nobody knows here by which one CloudFront sees this machine."""
    signer = use.cloudfront_signer_with(cloudfront_keys.read(use.settings.cloudfront_key_file), binds_address=False)
    signed_at = use.clock() - age
    (url,) = signer.sign([StoredObject(key)], download_id="doctor", lifetime_seconds=60, moment=signed_at)
    return url


@contextmanager
def probe(use: Resources) -> Iterator[str]:
    """An object to try things on, for as long as they are tried; yields its key."""
    key = f"{probes.PROBE_PREFIX}{secrets.token_hex(8)}"
    use.store.put_bytes(key, b"A probe of `weightgate-server doctor`.\n")
    try:
        yield key
    finally:
        use.store.delete(key)
