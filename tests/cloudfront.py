"""A stand-in for CloudFront, which nobody can run: it checks signed URLs as CloudFront's documentation says, with
nothing of ours, and then fetches from the real store under its own name, as origin access control has it.

Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy" and "… a custom policy".
"""

import base64
import contextlib
import ipaddress
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from server.storage import cloudfront_keys, keys
from server.storage.keys import S3Credentials
from tests.world import WatchedResources, World, write_settings

SIGNING = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
KEY_PAIR_ID = "K2JCJMDEHXQW5F"


class Denied(Exception):
    """CloudFront answers 403; why is for the test's reader."""


@dataclass
class Distribution:
    """What is told to CloudFront: its address, the public keys of its key group by their IDs, and what time it is."""

    url: str
    key_group: dict[str, str] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    seen_from: str = "127.0.0.1"  # the viewer's address
    lines: list[str] = field(default_factory=list)  # targets that were served

    def require_signed(self, target: str) -> None:
        """Raise Denied unless the URL is signed, as it is, by a key of the group, and its policy holds now."""
        path, _, query = target.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")]
        told = {name: value for name, _, value in pairs if name in SIGNING}
        rest = "&".join(f"{name}{is_}{value}" for name, is_, value in pairs if name not in SIGNING)
        resource = f"{self.url}{path}" + (f"?{rest}" if rest else "")
        if {"Signature", "Key-Pair-Id"} - told.keys() or ("Expires" in told) == ("Policy" in told):
            raise Denied("MissingKey")
        if "Expires" in told:
            text = f'{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":'
            text += f"{told['Expires']}}}}}}}]}}"
        else:
            text = _plain(told["Policy"]).decode()
        self._require_signature(told, text.encode())
        self._require_policy(text, resource)

    def _require_signature(self, told: dict[str, str], text: bytes) -> None:
        if told["Key-Pair-Id"] not in self.key_group:
            raise Denied("the key is not in the key group")
        public = serialization.load_pem_public_key(self.key_group[told["Key-Pair-Id"]].encode())
        algorithm = hashes.SHA256() if told.get("Hash-Algorithm") == "SHA256" else hashes.SHA1()  # noqa: S303
        signature = _plain(told["Signature"])
        try:
            if isinstance(public, ec.EllipticCurvePublicKey):
                public.verify(signature, text, ec.ECDSA(algorithm))
            else:
                assert isinstance(public, rsa.RSAPublicKey)
                public.verify(signature, text, padding.PKCS1v15(), algorithm)
        except InvalidSignature:
            raise Denied("the signature is not of this text") from None

    def _require_policy(self, text: str, resource: str) -> None:
        (statement,) = json.loads(text)["Statement"]
        when, now = statement["Condition"], self.now()
        pattern = re.escape(statement["Resource"]).replace(r"\*", ".*").replace(r"\?", ".")
        if not re.fullmatch(pattern, resource):
            raise Denied("the policy is for something else")
        if now >= when["DateLessThan"]["AWS:EpochTime"]:
            raise Denied("expired")
        if "DateGreaterThan" in when and now <= when["DateGreaterThan"]["AWS:EpochTime"]:
            raise Denied("not yet")
        if "IpAddress" in when:
            network = ipaddress.ip_network(when["IpAddress"]["AWS:SourceIp"])
            if ipaddress.ip_address(self.seen_from) not in network:
                raise Denied("another address")


class Front(ThreadingHTTPServer):
    """Serves one distribution on loopback."""

    daemon_threads = True

    def __init__(self, endpoint_url: str, bucket: str, origin_access: S3Credentials) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.distribution = Distribution(f"http://127.0.0.1:{self.server_port}")
        self.bucket = bucket
        self.store: Any = boto3.client(
            "s3", endpoint_url=endpoint_url, region_name="us-east-1", aws_access_key_id=origin_access.access_key_id,
            aws_secret_access_key=origin_access.secret_access_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )  # fmt: skip
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Front)
        try:
            self.server.distribution.require_signed(self.path)
            answer = self._of_the_store(self.server)
        except (Denied, ClientError) as error:
            self._send(403, {"Content-Type": "text/xml"}, f"<Error>{type(error).__name__}</Error>".encode())
            return
        self.server.distribution.lines.append(self.path)
        self._send(answer["ResponseMetadata"]["HTTPStatusCode"], _headers(answer), answer["Body"].read())

    def _of_the_store(self, front: Front) -> Any:
        """As the cache policy of deploy/aws forwards it: these two parameters of the query, and the range."""
        path, _, query = self.path.partition("?")
        asked, more = parse_qs(query), {}
        if disposition := asked.get("response-content-disposition"):
            more["ResponseContentDisposition"] = disposition[0]
        if version := asked.get("versionId"):
            more["VersionId"] = version[0]
        if span := self.headers.get("Range"):
            more["Range"] = span
        return front.store.get_object(Bucket=front.bucket, Key=unquote(path[1:]), **more)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def delivering(world: World, *, kind: cloudfront_keys.Kind = "ecdsa", **more: Any) -> Iterator[Distribution]:
    """Have the world's downloads lead to a distribution in front of its store, for as long as the block lasts.

    more: settings.
    """
    made = world.settings
    front = Front(str(made.s3_endpoint_url), made.s3_bucket, keys.read_s3_credentials(made.signer_key_file))
    file = world.folder / "cloudfront-keys" / "cloudfront.json"
    _, public = cloudfront_keys.prepare(file, kind)
    cloudfront_keys.take(file, KEY_PAIR_ID)
    front.distribution.key_group[KEY_PAIR_ID] = public
    known = {"delivery": "cloudfront", "cloudfront_url": front.distribution.url, "cloudfront_key_file": file} | more
    world.template = replace(world.template, settings=made.model_copy(update=known))
    world.settings = write_settings(world.template, world.folder, made.database_url)
    before, world.use = world.use, WatchedResources(world.settings, world.clock)
    before.close()
    try:
        yield front.distribution
    finally:
        front.shutdown()
        front.server_close()


def _headers(answer: Any) -> dict[str, str]:
    named = {"content-type", "content-range", "content-disposition", "etag", "accept-ranges", "last-modified"}
    return {name: value for name, value in answer["ResponseMetadata"]["HTTPHeaders"].items() if name in named}


def _plain(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "=").replace("~", "/"), validate=True)
    except ValueError:
        raise Denied("not base64") from None
