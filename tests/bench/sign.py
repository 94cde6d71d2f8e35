"""How fast URLs are signed, against botocore with one client kept. Run: python -m tests.bench.sign [--seconds N]"""

import argparse
import functools
import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from server.storage.keys import S3Credentials
from server.storage.signing import StoredObject
from server.storage.signing_check import BotocoreSigner, signed_at
from server.storage.signing_s3 import S3Signer
from tests.bench import measure

BATCH_SIZES = (1, 100, 1000)
TARGET = 50  # times botocore, in a batch
REGION, BUCKET = "eu-central-1", "weights-example"
CREDENTIALS = S3Credentials("WGEXAMPLE", "a secret that opens nothing")
DOWNLOAD_ID = "01985a7e-3c4f-7c2a-9b1d-5e6f7a8b9c0d"
LIFETIME_SECONDS = 300

# As a checkpoint's cached file list holds them: with and without a name for browsers.
BARE = [StoredObject(f"gpt-2/774M/{'5e' * 20}/model-{number:05}-of-01000.safetensors") for number in range(1, 1001)]
NAMED = [StoredObject(item.key, item.key.rpartition("/")[2]) for item in BARE]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=measure.ROUND_SECONDS, help="of each turn")
    options = parser.parse_args()
    signer = S3Signer(
        endpoint_url=None,
        region=REGION,
        bucket=BUCKET,
        addressing="virtual",
        credentials=CREDENTIALS,
        clock=lambda: datetime.now(UTC),
    )
    reference = BotocoreSigner(
        endpoint_url=None, region=REGION, bucket=BUCKET, addressing="virtual", credentials=CREDENTIALS
    )
    differing = _differing(signer, reference)
    outcomes = measure.interleave(_cases(signer, reference), rounds=options.rounds, seconds=options.seconds)
    report = _report(outcomes, differing)
    print(report)
    measure.write_section("sign", report)
    return 1 if differing else 0


def _cases(signer: S3Signer, reference: BotocoreSigner) -> list[measure.Case]:
    def botocore(items: list[StoredObject]) -> int:
        for item in items:
            reference.sign(item, download_id=DOWNLOAD_ID, lifetime_seconds=LIFETIME_SECONDS)
        return len(items)

    def own(items: list[StoredObject]) -> int:
        return len(signer.sign(items, download_id=DOWNLOAD_ID, lifetime_seconds=LIFETIME_SECONDS))

    def case(name: str, work: Callable[[list[StoredObject]], int], items: list[StoredObject]) -> measure.Case:
        return measure.in_process(name, lambda: work(items))

    return [
        case("botocore, one client kept", botocore, BARE[:100]),
        *(case(_own(size), own, BARE[:size]) for size in BATCH_SIZES),
        case("botocore, with file name", botocore, NAMED[:100]),
        case("own, batch of 100, with file name", own, NAMED[:100]),
        case("floor: the two hashes alone", _hash_twice, BARE[:100]),
    ]


def _hash_twice(items: list[StoredObject]) -> int:
    """The hash of the canonical request and the HMAC of the string to sign, on ready-made bytes."""
    request, inner, outer = bytes(420), hashlib.sha256(bytes(64)), hashlib.sha256(bytes(64))
    inner.update(bytes(81))
    for _ in items:
        first = inner.copy()
        first.update(hashlib.sha256(request).hexdigest().encode())
        second = outer.copy()
        second.update(first.digest())
        second.hexdigest()
    return len(items)


def _differing(signer: S3Signer, reference: BotocoreSigner) -> int:
    """Return how many of the measured URLs are not botocore's. Each is compared at the second that botocore used."""
    differing = 0
    for item in BARE + NAMED:
        expected = reference.sign(item, download_id=DOWNLOAD_ID, lifetime_seconds=LIFETIME_SECONDS)
        twin = signer.with_clock(functools.partial(signed_at, expected))
        signed = twin.sign([item], download_id=DOWNLOAD_ID, lifetime_seconds=LIFETIME_SECONDS)
        differing += signed != [expected]
    return differing


def _report(outcomes: dict[str, measure.Outcome], differing: int) -> str:
    plain, named = outcomes["botocore, one client kept"], outcomes["botocore, with file name"]
    rows = []
    for outcome in outcomes.values():
        base = named if outcome.name.endswith("with file name") else plain
        rows.append([outcome.name, f"{outcome.rate:,.0f}", f"{outcome.times(base):.1f}", f"{outcome.spread:.2f}"])
    reached = outcomes[_own(100)].times(plain)
    verdict = f"{'met' if reached >= TARGET else 'not met'} ({reached:.1f} ×)"
    total = len(BARE) + len(NAMED)
    parts = (
        measure.header(["botocore"]),
        "One core, medians. With a file name, `response-content-disposition` is signed too; botocore does the same.",
        measure.table(["signing", "URLs/s", "× botocore", "max/min"], rows),
        f"Target, ≥ {TARGET} × botocore in a batch of 100: {verdict}.",
        f"Byte-identical with botocore, checked in this run: {total - differing} of {total} URLs.",
        measure.noise(list(outcomes.values())),
    )
    return "\n\n".join(parts)


def _own(size: int) -> str:
    return "own, one URL at a time" if size == 1 else f"own, batch of {size}"


if __name__ == "__main__":
    sys.exit(main())
