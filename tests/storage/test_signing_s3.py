"""Signed URLs: the same bytes as botocore's, whatever is signed, and bounds that hold."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.settings import URL_LIFETIME_SECONDS_AT_MOST
from server.storage import signing_check
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.keys import S3Credentials, read_s3_credentials
from server.storage.objects import S3Objects
from server.storage.signing import StoredObject, content_disposition
from server.storage.signing_check import BotocoreSigner, SigningMismatch, self_check
from server.storage.signing_s3 import S3Signer

pytest_plugins = ["tests.stores"]

NOON = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)
CREDENTIALS = S3Credentials("WGEXAMPLE", "an/example+secret")
TEMPORARY = S3Credentials("ASIAEXAMPLE/+=", "söme secret", "a/session+token==&x=1 ü")

REGIONS = ("us-east-1", "eu-central-1", "ap-southeast-2", "cn-north-1", "us-gov-west-1", "mx-central-1")
ENDPOINTS = (
    ("http://127.0.0.1:8333", "path"),
    ("http://[::1]:9000", "path"),
    ("https://S3.Example.com:443/", "path"),
    ("https://S3.Example.com:443/", "virtual"),
    ("http://localhost:80", "virtual"),
    ("https://objects.example.org:8443", "path"),
    ("https://objects.example.org:8443", "virtual"),
)
PLACES: list[tuple[str | None, str, Any]] = [
    *((None, region, addressing) for region in REGIONS for addressing in ("path", "virtual")),
    *((url, region, addressing) for url, addressing in ENDPOINTS for region in ("us-east-1", "auto")),
]
IDENTITIES = (CREDENTIALS, TEMPORARY)

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
awkward = st.sampled_from([" ", "%20", "%2F", "//", "/../", "\r\n", "{Key}", "e\N{COMBINING ACUTE ACCENT}", "模型"])
awkward |= st.sampled_from("+%~/.?#&=;*'\"\\$ü\N{GRINNING FACE}\n\t\0\x7f")
plain = st.text("ABCabc019._-/", min_size=1, max_size=20)
texts = st.lists(awkward | plain, min_size=1, max_size=8).map("".join) | any_text
objects = st.builds(StoredObject, texts, st.none() | texts, st.none() | texts)
moments = st.integers(1_420_070_400, 4_102_444_799).map(lambda at: datetime.fromtimestamp(at, UTC)) | st.sampled_from(
    [
        datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=14))),  # still February in UTC
    ]
)
lifetimes = st.integers(1, URL_LIFETIME_SECONDS_AT_MOST)


def noon() -> datetime:
    return NOON


def signer_at(
    moment: datetime = NOON, place: tuple[str | None, str, Any] = PLACES[0], credentials: S3Credentials = CREDENTIALS
) -> S3Signer:
    endpoint_url, region, addressing = place
    return S3Signer(
        endpoint_url=endpoint_url,
        region=region,
        bucket="weight-s3",
        addressing=addressing,
        credentials=credentials,
        clock=lambda: moment,
    )


@cache
def botocore_at(place: tuple[str | None, str, Any], credentials: S3Credentials) -> BotocoreSigner:
    endpoint_url, region, addressing = place
    return BotocoreSigner(
        endpoint_url=endpoint_url, region=region, bucket="weight-s3", addressing=addressing, credentials=credentials
    )


def by_botocore(
    reference: BotocoreSigner, items: list[StoredObject], download_id: str, lifetime_seconds: int, moment: datetime
) -> list[str]:
    """Sign each object with botocore, whose only clock is this name in its auth module (naive, UTC)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: moment.astimezone(UTC).replace(tzinfo=None))
        return [reference.sign(item, download_id=download_id, lifetime_seconds=lifetime_seconds) for item in items]


@given(
    place=st.sampled_from(PLACES),
    credentials=st.sampled_from(IDENTITIES),
    items=st.lists(objects, min_size=1, max_size=3),
    download_id=texts,
    lifetime_seconds=lifetimes,
    moment=moments,
)
@example(PLACES[0], CREDENTIALS, [StoredObject("/a//b/../ü +%~?#", 'a "b"', "")], "0198-x", 300, NOON)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_url_is_botocores_byte_for_byte(
    place: tuple[str | None, str, Any],
    credentials: S3Credentials,
    items: list[StoredObject],
    download_id: str,
    lifetime_seconds: int,
    moment: datetime,
) -> None:
    """Escaping, order of parameters, host and signature agree for any object, name, place and moment."""
    ours = signer_at(moment, place, credentials).sign(items, download_id=download_id, lifetime_seconds=lifetime_seconds)
    assert ours == by_botocore(botocore_at(place, credentials), items, download_id, lifetime_seconds, moment)


@given(
    bucket=st.from_regex(r"\A[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z").filter(
        lambda name: not name.isdigit() and not name.endswith("-s3")
    ),
    region=st.from_regex(r"\A[a-z]{2}-[a-z]{1,9}-[1-9]\Z").filter(
        lambda name: "iso" not in name and "fips" not in name
    ),
    addressing=st.sampled_from(["path", "virtual"]),
    secret=any_text,
    token=st.none() | any_text,
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_start_check_accepts_any_valid_configuration(
    bucket: str, region: str, addressing: Any, secret: str, token: str | None
) -> None:
    """No bucket, AWS region or credential that the constructor takes makes the two signers disagree."""
    credentials = S3Credentials("WGEXAMPLE", secret, token)
    signer = S3Signer(
        endpoint_url=None, region=region, bucket=bucket, addressing=addressing, credentials=credentials, clock=noon
    )
    self_check(signer, credentials)


def test_the_start_check_refuses_a_signer_that_botocore_contradicts() -> None:
    """A difference stops the start, and the message holds nothing that would open an object."""
    with pytest.raises(SigningMismatch) as caught:
        self_check(signer_at(credentials=CREDENTIALS), S3Credentials("WGEXAMPLE", "another secret"))
    assert "X-Amz" not in str(caught.value)
    assert "://" not in str(caught.value)


def test_the_start_check_ignores_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS_* variables and profiles of whoever starts the server change neither signer."""
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = path\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "absent")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere.example")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setattr(signing_check, "deaf_session", signing_check.deaf_session.__wrapped__)  # as at a start
    self_check(signer_at(place=(None, "eu-central-1", "virtual")), CREDENTIALS)


def test_the_signing_key_follows_the_utc_day() -> None:
    """One signer that lives over midnight signs with the new day's key, and with the old one's for an old moment."""
    evening = datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC)
    times = iter([evening, evening + timedelta(seconds=1), evening])
    signer = S3Signer(
        endpoint_url=None,
        region="eu-central-1",
        bucket="weight-s3",
        addressing="virtual",
        credentials=CREDENTIALS,
        clock=lambda: next(times),
    )
    place = (None, "eu-central-1", "virtual")
    item = [StoredObject("a")]
    for moment in (evening, evening + timedelta(seconds=1), evening):
        expected = by_botocore(botocore_at(place, CREDENTIALS), item, "d", 60, moment)
        assert signer.sign(item, download_id="d", lifetime_seconds=60) == expected


def test_threads_share_one_signer() -> None:
    """Threads that sign on two days at once get the URLs that one thread alone would get."""
    shared = signer_at()
    items = [StoredObject(f"model-{number:05}.safetensors") for number in range(20)]

    def by(signer: S3Signer, number: int) -> list[str]:
        moment = NOON - timedelta(days=number % 2)
        return signer.sign(items, download_id=f"d{number}", lifetime_seconds=60, moment=moment)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: by(shared, number), range(400)))
    assert together == [by(signer_at(), number) for number in range(400)]


def test_a_given_moment_starts_the_life_of_the_urls() -> None:
    """URLs signed late for an earlier decision die when the log entry says, in whatever zone it was told."""
    decided = NOON - timedelta(seconds=7)
    item = [StoredObject("a")]
    expected = signer_at(decided).sign(item, download_id="d", lifetime_seconds=60)
    for moment in (decided, decided.astimezone(timezone(timedelta(hours=-8)))):
        assert signer_at().sign(item, download_id="d", lifetime_seconds=60, moment=moment) == expected


def test_a_moment_to_come_is_refused() -> None:
    """A clock that was set back between decision and signing must not lengthen a life: some stores would allow it."""
    for moment in (NOON + timedelta(seconds=1), NOON.astimezone(timezone(timedelta(hours=-8))) + timedelta(seconds=1)):
        with pytest.raises(ValueError, match="in the future"):
            signer_at().sign([StoredObject("a")], download_id="d", lifetime_seconds=60, moment=moment)


@pytest.mark.parametrize("lifetime_seconds", [1, URL_LIFETIME_SECONDS_AT_MOST])
def test_the_shortest_and_the_longest_life_are_signed(lifetime_seconds: int) -> None:
    (url,) = signer_at().sign([StoredObject("a")], download_id="d", lifetime_seconds=lifetime_seconds)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [str(lifetime_seconds)]


@pytest.mark.parametrize("lifetime_seconds", [-1, 0, URL_LIFETIME_SECONDS_AT_MOST + 1, 604_800])
def test_a_life_out_of_bounds_is_refused(lifetime_seconds: int) -> None:
    """A setting that slipped through cannot make a link that outlives the 15 minutes."""
    with pytest.raises(ValueError, match="1 to 900 seconds"):
        signer_at().sign([StoredObject("a")], download_id="d", lifetime_seconds=lifetime_seconds)


def test_a_life_in_parts_of_seconds_is_refused() -> None:
    lifetime: Any = 1.5
    with pytest.raises(ValueError, match="format code"):
        signer_at().sign([StoredObject("a")], download_id="d", lifetime_seconds=lifetime)


def test_no_url_without_a_download_id_key_or_time_zone() -> None:
    """Each would make a URL that the log cannot find, that lists the bucket, or that lives at another time."""
    with pytest.raises(ValueError, match="without a download ID"):
        signer_at().sign([StoredObject("a")], download_id="", lifetime_seconds=60)
    with pytest.raises(ValueError, match="list the bucket"):
        signer_at().sign([StoredObject("a"), StoredObject("")], download_id="d", lifetime_seconds=60)
    with pytest.raises(ValueError, match="no time zone"):
        signer_at(NOON.replace(tzinfo=None)).sign([StoredObject("a")], download_id="d", lifetime_seconds=60)


BAD_BUCKETS = ("", "ab", "Weights", "weights_1", "we..ights", "-weights", "weights.", "a" * 64, "weights\n", "a/b")
RESERVED_BUCKETS = ("1.2.3.4", "12345", "weights--use1-az4--x-s3", "weights--ol-s3", "arn:aws:s3:::weights")
BAD_REGIONS = ("", "EU-CENTRAL-1", "eu central", "123", "-a", "a\n", "aws-global", "fips-us-east-1", "us-east-1-fips")
UNKNOWN_REGIONS = ("auto", "us-iso-east-1", "eu-isoe-west-1", "eusc-de-east-1")
NOT_URLS = ("", "s3.example.com", "ftp://s3.example.com", "//s3", "http://", "http://s3:x", "http://s3:", "http://[::1")
BAD_HOSTS = ("http://s3:99999", "http://s3_store:8333", "http://s3.example.com\n", "http://a:b@s3.example.com")
MORE_THAN_HOSTS = ("http://s3.example.com/base", "http://s3.example.com?", "http://s3.example.com#")
ADDRESSES = ("http://127.0.0.1:8333", "http://[::1]:8333")


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        *(("bucket", name, "not a valid bucket name") for name in BAD_BUCKETS + RESERVED_BUCKETS),
        ("bucket", "weights.example", "use path addressing"),
        *(("region", name, "not a valid region") for name in BAD_REGIONS),
        *(("region", name, "set the endpoint URL") for name in UNKNOWN_REGIONS),
        *(("endpoint_url", url, "nothing else") for url in NOT_URLS + BAD_HOSTS + MORE_THAN_HOSTS),
        *(("endpoint_url", url, "is an IP address") for url in ADDRESSES),
    ],
)
def test_a_place_that_botocore_would_bend_is_refused(setting: str, value: str, complaint: str) -> None:
    """Where botocore falls back to another host or way of signing, the start stops instead, telling no secret."""
    place: Any = {"endpoint_url": None, "region": "eu-central-1", "bucket": "weights", "addressing": "virtual"}
    with pytest.raises(ValueError, match=complaint) as caught:
        S3Signer(**{**place, setting: value}, credentials=CREDENTIALS, clock=noon)
    assert "a:b" not in str(caught.value)


def test_nothing_that_prints_a_signer_shows_a_secret() -> None:
    signer = signer_at(credentials=TEMPORARY)
    signer.sign([StoredObject("a")], download_id="d", lifetime_seconds=60)
    shown = f"{signer} {signer!r} {vars(signer)} {signer._batch('d', 60, NOON)} {signer._day_key}"
    assert "secret" not in shown.replace("secret_access_key", "")
    assert "session+token" not in shown
    assert "session%2Btoken" not in shown


@pytest.mark.parametrize("key", ["signing/model-00001-of-00002.safetensors", "signing/a b/+%~ü模型#?.txt"])
def test_the_real_store_takes_the_url_as_it_is_and_no_other(embedded_store: EmbeddedStore, key: str) -> None:
    """The URL opens its object; with one character changed, the download id edited or gone, or too late: 403."""
    place: Any = {
        "endpoint_url": embedded_store.endpoint_url,
        "region": REGION,
        "bucket": "weights",
        "addressing": "path",
    }
    with S3Objects(**place, credentials=read_s3_credentials(embedded_store.publisher_key_file)) as objects:
        objects.put_bytes(key, b"weights")
        now = objects.server_time()
    credentials = read_s3_credentials(embedded_store.signer_key_file)
    signer = S3Signer(**place, credentials=credentials, clock=lambda: now)
    self_check(signer, credentials)
    (url,) = signer.sign([StoredObject(key, 'a "name".bin')], download_id="0198-5a7e", lifetime_seconds=60)
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"weights")
    assert answer.headers["content-disposition"] == content_disposition('a "name".bin')
    earlier = now - timedelta(seconds=61)
    (expired,) = signer.sign([StoredObject(key)], download_id="0198-5a7e", lifetime_seconds=60, moment=earlier)
    refused = {
        "expired": expired,
        "longer life": url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
        "another object": url.replace("/signing/", "/signinh/"),
        "another download": url.replace("x-download-id=0198-5a7e", "x-download-id=0198-5a7f"),
        "no download": url.replace("x-download-id=0198-5a7e&", ""),
        "another name": url.replace("name", "mane"),
        "another signature": url[:-1] + ("1" if url.endswith("0") else "0"),
        "something appended": url + "&x-more=1",
    }
    assert url not in refused.values()
    assert {name: requests.get(changed, timeout=10).status_code for name, changed in refused.items()} == dict.fromkeys(
        refused, 403
    )
