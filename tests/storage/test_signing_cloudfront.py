"""CloudFront's URLs: botocore's bytes around every signature, and signatures that others verify."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.signers import CloudFrontSigner as BotocoreSigner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import HealthCheck, given, settings

from server.storage import cloudfront_keys, signing_check_cloudfront
from server.storage.cloudfront_keys import CloudFrontKey, PrivateKey
from server.storage.signing import Recipient, StoredObject, content_disposition
from server.storage.signing_check import SigningMismatch
from server.storage.signing_cloudfront import CloudFrontSigner, safe_base64, signature_of
from tests.cloudfront import Denied, Distribution, _plain
from tests.storage.test_signing_s3 import lifetimes, moments, objects, texts

URL = "https://d111111abcdef8.cloudfront.net"
ID = "K2JCJMDEHXQW5F"
NOON = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)
PRIVATE: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
}
ASKER = Recipient(address="192.0.2.7")


def signer_of(kind: str, moment: datetime = NOON, *, binds_address: bool = False) -> CloudFrontSigner:
    key = CloudFrontKey(ID, PRIVATE[kind])
    return CloudFrontSigner(url=URL, key=key, clock=lambda: moment, binds_address=binds_address)


def distribution(kind: str, at: datetime = NOON, seen_from: str = "192.0.2.7") -> Distribution:
    key_group = {ID: cloudfront_keys.public_pem(PRIVATE[kind])}
    return Distribution(URL, key_group, lambda: at.timestamp(), seen_from)


def target_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def by_botocore(url: str, ends: int, starts: int | None) -> str:
    """botocore's URL for the same object, signed with the RSA key; PKCS #1 v1.5 is the same each time."""

    def sign(text: bytes) -> bytes:
        private = PRIVATE["rsa"]
        assert isinstance(private, rsa.RSAPrivateKey)
        return private.sign(text, padding.PKCS1v15(), hashes.SHA256())

    reference, until = BotocoreSigner(ID, sign), datetime.fromtimestamp(ends, UTC)
    if starts is None:
        return str(reference.generate_presigned_url(url, date_less_than=until))
    since = datetime.fromtimestamp(starts, UTC)
    text = reference.build_policy(url, until, date_greater_than=since, ip_address=ASKER.address)
    return str(reference.generate_presigned_url(url, policy=text))


@pytest.mark.parametrize("binds_address", [False, True])
@given(item=objects, download_id=texts, lifetime=lifetimes, moment=moments)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_url_is_botocores_byte_for_byte(
    binds_address: bool, item: StoredObject, download_id: str, lifetime: int, moment: datetime
) -> None:
    """Policy, order of parameters and RSA's signature, for any object and moment; and what the hash is."""
    signer = signer_of("rsa", moment, binds_address=binds_address)
    (url,) = signer.sign([item], download_id=download_id, lifetime_seconds=lifetime, recipient=ASKER)
    plain = url.partition("&Policy=" if binds_address else "&Expires=")[0]
    begins = int(moment.timestamp())
    expected = by_botocore(plain, begins + lifetime, int(moment.timestamp() - 60) if binds_address else None)
    assert url == f"{expected}&Hash-Algorithm=SHA256"


def is_taken(kind: str, url: str) -> bool:
    try:
        distribution(kind).require_signed(target_of(url))
    except Denied:
        return False
    return True


@pytest.mark.parametrize("kind", PRIVATE)
@pytest.mark.parametrize("binds_address", [False, True])
def test_cloudfronts_own_check_takes_them_and_nothing_else(kind: str, binds_address: bool) -> None:
    """As its documentation says, by a checker that has nothing of ours."""
    items = [StoredObject("checkpoints/gpt-2/774M/x/a b.json", 'a "name" ü.json', "v/1"), StoredObject("x/y")]
    signer = signer_of(kind, binds_address=binds_address)
    made = signer.sign(items, download_id="0198-5a7e", lifetime_seconds=60, recipient=ASKER)
    for url in made:
        assert "x-download-id=0198-5a7e&" in url
        distribution(kind).require_signed(target_of(url))
        middle = url.index("Signature=") + 20
        refused = {
            "path": url.replace(".net/", ".net/other/"), "download": url.replace("5a7e", "5a7f"),
            "no download": url.replace("x-download-id=0198-5a7e&", ""), "appended": f"{url}&x-more=1",
            "in front": url.replace("?", "?x-more=1&"),
            "signature": f"{url[:middle]}{'A' if url[middle] != 'A' else 'B'}{url[middle + 1 :]}",
            "no signature": url.partition("?")[0], "another hash": url.replace("SHA256", "SHA1"),
            "no hash": url.replace("&Hash-Algorithm=SHA256", ""), "another key": url.replace(ID, "KOTHERKEY"),
            "longer": url.replace(f"Expires={int(NOON.timestamp()) + 60}", f"Expires={int(NOON.timestamp()) + 61}"),
        }  # fmt: skip
        taken = [what for what, changed in refused.items() if changed != url and is_taken(kind, changed)]
        assert taken == []
        with pytest.raises(Denied, match="expired"):
            distribution(kind, NOON + timedelta(seconds=60)).require_signed(target_of(url))
        distribution(kind, NOON + timedelta(seconds=59)).require_signed(target_of(url))
    assert f"response-content-disposition={content_disposition('x')[:10]}" in made[0]
    assert "versionId=v%2F1" in made[0]


@pytest.mark.parametrize("kind", PRIVATE)
def test_a_bound_url_is_for_one_address(kind: str) -> None:
    """And for none before its time, but for clocks that differ."""
    signer = signer_of(kind, binds_address=True)
    (url,) = signer.sign([StoredObject("x")], download_id="d", lifetime_seconds=60, recipient=ASKER)
    distribution(kind, NOON - timedelta(seconds=59)).require_signed(target_of(url))
    for wrong in (
        distribution(kind, seen_from="192.0.2.8"), distribution(kind, NOON - timedelta(seconds=60))
    ):  # fmt: skip
        with pytest.raises(Denied, match=r"another address|not yet"):
            wrong.require_signed(target_of(url))
    for address in (None, "2001:db8::1", "::ffff:192.0.2.7", "x"):
        with pytest.raises(ValueError, match="IPv4"):
            signer.sign([StoredObject("x")], download_id="d", lifetime_seconds=60, recipient=Recipient(address))


@pytest.mark.parametrize("kind", PRIVATE)
def test_openssl_verifies_the_signature(kind: str, tmp_path: Path) -> None:
    """The command line that CloudFront's documentation signs with."""
    signer = signer_of(kind, binds_address=True)
    (url,) = signer.sign([StoredObject("x")], download_id="d", lifetime_seconds=60, recipient=ASKER)
    told = dict(pair.split("=", 1) for pair in url.partition("?")[2].split("&"))
    files = {"public.pem": cloudfront_keys.public_pem(PRIVATE[kind]).encode()}
    files |= {"text": _plain(told["Policy"]), "signature": _plain(told["Signature"])}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "text"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Verified OK\n", done.stderr
    (tmp_path / "text").write_bytes(files["text"].replace(b"192.0.2.7", b"192.0.2.8"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_url_lives_as_long_as_its_entry_says() -> None:
    """From the moment of the decision, and never longer than any URL may; none for a time to come."""
    signer, item = signer_of("ecdsa"), [StoredObject("x")]
    (url,) = signer.sign(item, download_id="d", lifetime_seconds=900, moment=NOON - timedelta(seconds=7))
    assert f"&Expires={int(NOON.timestamp()) + 893}&" in url
    for wrong in (
        {"lifetime_seconds": 901}, {"lifetime_seconds": 0}, {"download_id": ""},
        {"moment": NOON + timedelta(seconds=1)},
    ):  # fmt: skip
        how: dict[str, Any] = {"download_id": "d", "lifetime_seconds": 60} | wrong
        with pytest.raises(ValueError, match=r"900 seconds|download ID|in the future"):
            signer.sign(item, **how)
    with pytest.raises(ValueError, match="key is empty"):
        signer.sign([StoredObject("")], download_id="d", lifetime_seconds=60)


@pytest.mark.parametrize("kind", PRIVATE)
@pytest.mark.parametrize("binds_address", [False, True])
def test_the_start_check_takes_what_botocore_makes(kind: str, binds_address: bool) -> None:
    signing_check_cloudfront.self_check(signer_of(kind, binds_address=binds_address))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.replace("&Hash-Algorithm=SHA256", ""),
        lambda url: url.replace(ID, "KOTHERKEY"),
        lambda url: url.replace("x-download-id", "x-download"),
        lambda url: url.replace("Expires=", "Expires=1"),
        lambda url: url.replace("Signature=", "Signed="),
    ],
)
def test_the_start_check_refuses_what_botocore_would_not_make(
    spoil: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference stops the start, and the message opens nothing."""
    right = CloudFrontSigner._signed
    monkeypatch.setattr(CloudFrontSigner, "_signed", lambda self, *how: spoil(right(self, *how)))
    with pytest.raises(SigningMismatch) as refused:
        signing_check_cloudfront.self_check(signer_of("ecdsa"))
    assert "://" not in str(refused.value)


def test_nothing_that_prints_a_signer_shows_the_key() -> None:
    signer = signer_of("ecdsa")
    assert "PRIVATE" not in f"{signer!r} {vars(signer)}"
    assert safe_base64(b"\xfb\xff\xfe\xff") == "-~~-~w__"
    assert signature_of(PRIVATE["rsa"], b"x") == signature_of(PRIVATE["rsa"], b"x")
