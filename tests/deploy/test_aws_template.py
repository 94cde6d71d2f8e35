"""deploy/aws: the template is what CloudFormation takes, and its policies allow what the table says and no more."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.cli.init import init
from server.settings import Settings
from server.storage import store_sessions
from tests import parts
from tests.deploy.cloudformation import PSEUDO, Stack
from tests.deploy.iam import Act, Asker, context_of, is_allowed
from tests.prepare import IAM_SIMULATE

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "aws" / "weightgate.yaml"
README = ROOT / "deploy" / "aws" / "README.md"
TABLE = Path(__file__).with_name("aws_policies.txt")
PARAMETERS = {
    "WeightsBucketName": "lab-weights", "AnchorBucketName": "lab-anchors", "LogBucketName": "lab-logs",
    "PublicUrl": "https://weights.example.org", "AlarmEmail": "ada@example.org", "FirstCloudFrontPublicKey": "a key",
}  # fmt: skip
BUCKETS = {"weights": "WeightsBucket", "anchors": "AnchorBucket", "logs": "LogBucket"}
ACCOUNT = PSEUDO["AWS::AccountId"]
CKPT = f"checkpoints/gpt-2/774M/{'a' * 40}"
OTHER = f"checkpoints/gpt-2/774M/{'b' * 40}"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TRAIL = f"arn:aws:cloudtrail:eu-central-1:{ACCOUNT}:trail/weightgate"
DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT}:distribution/Distribution"
SERVICES = {
    "cloudfront": ("cloudfront.amazonaws.com", {"aws:SourceArn": DISTRIBUTION}),
    "s3 logging": ("logging.s3.amazonaws.com", {"aws:SourceAccount": ACCOUNT}),
    "cloudtrail": ("cloudtrail.amazonaws.com", {"aws:SourceArn": TRAIL}),
    "machine": ("ec2.amazonaws.com", {}),
    "lambda": ("lambda.amazonaws.com", {}),
}
IDENTITIES = {
    "signer": "SignerRole", "downloads": "DownloadsRole", "publisher": "Publisher", "anchors": "Anchors",
    "findings": "Findings", "uploads": "Uploads", "logs": "LogReader",
}  # fmt: skip
WORDS: dict[str, dict[str, str | None]] = {
    "http": {"aws:SecureTransport": "false"}, "sigv2": {"s3:signatureversion": "AWS"},
    "unsigned": {"s3:signatureversion": None, "s3:signatureAge": None},
    "directly": {"kms:ViaService": None},
}  # fmt: skip
NAMES = {
    "age": "s3:signatureAge", "tls": "s3:TlsVersion", "ip": "aws:SourceIp", "prefix": "s3:prefix",
    "acl": "s3:x-amz-acl", "if-none-match": "s3:if-none-match", "from": "aws:SourceArn",
    "sse": "s3:x-amz-server-side-encryption", "key": "s3:x-amz-server-side-encryption-aws-kms-key-id",
}  # fmt: skip
KEYS = {"ours": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/WeightsKey"}
USUAL = {
    "aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "s3:signatureversion": "AWS4-HMAC-SHA256",
    "s3:signatureAge": "1000", "aws:SourceIp": "203.0.113.9", "kms:ViaService": "s3.eu-central-1.amazonaws.com",
}  # fmt: skip


def rows() -> list[Any]:
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            assert len(cells) == 5, line
            found.append(pytest.param(*cells, id=" ".join(filter(None, cells[:4]))))
    return found


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(TEMPLATE, **PARAMETERS)


def asker(stack: Stack, who: str) -> Asker:
    if who in SERVICES:
        return Asker(service=SERVICES[who][0])
    if who == "stranger":
        return Asker()
    if who in {"admin", "other"}:
        account = ACCOUNT if who == "admin" else "999988887777"
        return Asker(f"arn:aws:iam::{account}:user/{who}", account, identity=[EVERYTHING])
    policies = {
        "url session": store_sessions.url_policy("lab-weights", f"{CKPT}/", ["192.0.2.0/24"], decrypts=True),
        "tool session": store_sessions.session_policy("lab-weights", f"{CKPT}/", decrypts=True),
    }
    name = IDENTITIES["downloads" if who in policies else who.removeprefix("wide ")]
    told = stack.resources[name]["Properties"]
    session = [json.loads(policies[who])] if who in policies else None
    own = [one["PolicyDocument"] for one in told["Policies"]] + [EVERYTHING] * who.startswith("wide ")
    return Asker(stack._attribute(name, "Arn"), ACCOUNT, identity=own, session=session)


def place(stack: Stack, on: str) -> tuple[str, Any, bool]:
    """The ARN, the policy on it, and whether that decides alone."""
    if on == "key":
        return stack._attribute("WeightsKey", "Arn"), stack.resources["WeightsKey"]["Properties"]["KeyPolicy"], True
    if on.startswith("role "):
        name = IDENTITIES[on.removeprefix("role ")]
        trust = stack.resources[name]["Properties"]["AssumeRolePolicyDocument"]
        return stack._attribute(name, "Arn"), trust, True
    bucket, slash, key = on.partition("/")
    key = key.replace("CKPT", CKPT).replace("OTHER", OTHER)
    policy = stack.resources[f"{BUCKETS[bucket]}Policy"]["Properties"]["PolicyDocument"]
    return f"arn:aws:s3:::lab-{bucket}{slash}{key}", policy, False


def context(who: str, told: str) -> dict[str, str]:
    found: dict[str, str | None] = {**USUAL, **(SERVICES[who][1] if who in SERVICES else {})}
    for each in filter(None, told.split(", ")):
        if each in WORDS:
            found |= WORDS[each]
            continue
        name, _, value = each.partition(" ")
        if name == "from":
            value = "arn:aws:s3:::lab-weights" if value == "weights" else f"{DISTRIBUTION}-of-another"
        if name == "key":
            value = KEYS.get(value, "arn:aws:kms:eu-central-1:999988887777:key/x")
        found[NAMES[name]] = value.replace("CKPT", CKPT).replace("OTHER", OTHER)
    return {key: value for key, value in found.items() if value is not None}


def answer(stack: Stack, who: str, action: str, on: str, told: str) -> str:
    arn, policy, decides = place(stack, on)
    act = Act(asker(stack, who), action, arn, context(who, told))
    return "allowed" if is_allowed(act, policy, ACCOUNT, resource_decides=decides) else "denied"


@pytest.mark.parametrize(("who", "action", "on", "told", "expected"), rows())
def test_the_policies_say_what_the_table_says(
    stack: Stack, who: str, action: str, on: str, told: str, expected: str
) -> None:
    assert answer(stack, who, action, on, told) == expected


def test_every_statement_is_one_that_a_line_needs(stack: Stack) -> None:
    """Without any one of them, a line of the table is wrong: none is there for nothing, and none is untested."""
    lines = [row.values for row in rows()]
    needless = []
    for document in documents(stack):
        for statement in list(document["Statement"]):
            document["Statement"].remove(statement)
            if all(answer(stack, *map(str, line[:4])) == line[4] for line in lines):
                needless.append(statement.get("Sid", statement))
            document["Statement"].append(statement)
    assert needless == []


def test_another_simulator_says_the_same(stack: Stack) -> None:
    """iam-simulate, which also knows which condition keys an action has, and shares nothing with our evaluation."""
    if parts.SIMULATOR is None:
        parts.missing("iam-simulate")
    lines = [row.values for row in rows()]
    asked = json.dumps([simulation(stack, *map(str, line[:4])) for line in lines])
    command = [parts.SIMULATOR, str(TABLE.with_name("simulate") / "simulate.cjs")]
    environment = {"NODE_PATH": str(IAM_SIMULATE / "node_modules")}
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=True)
    said = {"Allowed": "allowed", "ImplicitlyDenied": "denied", "ExplicitlyDenied": "denied"}
    found = [(line[:4], said.get(answer, answer)) for line, answer in zip(lines, json.loads(done.stdout), strict=True)]
    assert found == [(line[:4], line[4]) for line in lines]


def simulation(stack: Stack, who: str, action: str, on: str, told: str) -> dict[str, Any]:
    """A line of the table as iam-simulate takes it."""
    arn, policy, _ = place(stack, on)
    asking, own = asker(stack, who), f"{action.partition(':')[0]}:"
    known = {key: value for key, value in context(who, told).items() if key.startswith(("aws:", own))}
    act = Act(asking, action, arn, known)
    return {
        "request": {
            "principal": asking.service or asking.arn, "action": action,
            "resource": {"resource": arn, "accountId": ACCOUNT}, "contextVariables": context_of(act),
        },
        "identityPolicies": [{"name": str(place), "policy": one} for place, one in enumerate(asking.identity)],
        "sessionPolicy": asking.session[0] if asking.session else None, "resourcePolicy": policy,
        "serviceControlPolicies": [], "resourceControlPolicies": [],
    }  # fmt: skip


def documents(stack: Stack) -> Iterator[Any]:
    """Every policy that the table is about."""
    for told in stack.resources.values():
        properties = told.get("Properties", {})
        if told["Type"] == "AWS::S3::BucketPolicy":
            yield properties["PolicyDocument"]
        yield from (one["PolicyDocument"] for one in properties.get("Policies", ()))
        yield from (properties[name] for name in ("AssumeRolePolicyDocument", "KeyPolicy") if name in properties)


def test_without_cloudfront_it_is_nowhere() -> None:
    """Neither a distribution, nor a right of CloudFront's on bucket or key."""
    stack = Stack(TEMPLATE, **PARAMETERS | {"FirstCloudFrontPublicKey": ""})
    assert not [name for name, told in stack.resources.items() if "CloudFront" in told["Type"]]
    assert answer(stack, "cloudfront", "s3:GetObject", "weights/CKPT/x", "") == "denied"
    assert answer(stack, "cloudfront", "kms:Decrypt", "key", "") == "denied"
    assert answer(stack, "signer", "s3:GetObject", "weights/CKPT/x", "") == "allowed"
    assert "CloudFrontUrl" not in stack.outputs


def test_two_keys_sign_while_one_is_replaced() -> None:
    """And then the other one alone: its place is free for the next."""
    second = {"SecondCloudFrontPublicKey": "another"}
    steps = (PARAMETERS, PARAMETERS | second, PARAMETERS | second | {"FirstCloudFrontPublicKey": ""})
    stacks = [Stack(TEMPLATE, **each) for each in steps]
    groups = [stack.resources["KeyGroup"]["Properties"]["KeyGroupConfig"]["Items"] for stack in stacks]
    assert groups == [["FirstPublicKey"], ["FirstPublicKey", "SecondPublicKey"], ["SecondPublicKey"]]
    assert ["FirstPublicKey" in stack.resources for stack in stacks] == [True, True, False]


def test_the_buckets_are_closed_versioned_and_locked(stack: Stack) -> None:
    """Public access is blocked at each; weights and anchors are kept; the weights are encrypted with a key of ours."""
    made = stack.of_type("AWS::S3::Bucket")
    assert made.keys() == set(BUCKETS.values())
    for bucket in made.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert {stack.resources[name]["DeletionPolicy"] for name in (*made, "WeightsKey")} == {"Retain"}
    modes = {
        name: made[name]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Mode"]
        for name in ("WeightsBucket", "AnchorBucket")
    }
    assert modes == {"WeightsBucket": "GOVERNANCE", "AnchorBucket": "COMPLIANCE"}
    (encryption,) = made["WeightsBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEYS["ours"]}


def test_cloudfront_serves_signed_requests_over_tls_alone(stack: Stack) -> None:
    """And tells the bucket, and its own copies, only what a URL of ours says of the object."""
    told = stack.resources["Distribution"]["Properties"]["DistributionConfig"]
    behavior = told["DefaultCacheBehavior"]
    assert "CacheBehaviors" not in told
    assert (behavior["TrustedKeyGroups"], behavior["ViewerProtocolPolicy"]) == (["KeyGroup"], "https-only")
    access = stack.resources["OriginAccess"]["Properties"]["OriginAccessControlConfig"]
    assert (access["SigningBehavior"], access["SigningProtocol"]) == ("always", "sigv4")
    policy = stack.resources["CachePolicy"]["Properties"]["CachePolicyConfig"]
    asked = policy["ParametersInCacheKeyAndForwardedToOrigin"]["QueryStringsConfig"]["QueryStrings"]
    assert asked == ["response-content-disposition", "versionId"]
    bound = Stack(TEMPLATE, **PARAMETERS, BindsAddress="true").resources["Distribution"]["Properties"]
    assert (told["IPV6Enabled"], bound["DistributionConfig"]["IPV6Enabled"]) == (True, False)


def test_every_output_says_where_it_belongs(stack: Stack) -> None:
    """Settings and options that it names exist, and the page of deploy/aws names each output."""
    text = TEMPLATE.read_text(encoding="utf-8").partition("\nOutputs:")[2]
    settings = set(re.findall(r"[Ss]etting ([a-z0-9_]+)", text))
    assert settings == {"s3_bucket", "s3_region", "anchor_bucket", "sts_role_arn", "cloudfront_url"}
    assert settings <= Settings.model_fields.keys()
    options = {option for one in init.params for option in one.opts}
    assert set(re.findall(r"`init (--[a-z0-9-]+)", text)) <= options
    whole = Stack(TEMPLATE, **PARAMETERS, SecondCloudFrontPublicKey="another")
    assert {name for name in whole.outputs if f"`{name}`" not in README.read_text(encoding="utf-8")} == set()
    named = re.findall(r"\b([a-z]\w*_[a-z_]+) = ", README.read_text(encoding="utf-8"))
    assert set(named) - Settings.model_fields.keys() == set()
    assert whole.outputs["OwnIdentities"].split()[0] == f"arn:aws:iam::{ACCOUNT}:user/weightgate-Publisher"


def test_the_linter_finds_nothing() -> None:
    """cfn-lint, with its warnings."""
    if not parts.CFN.exists():
        parts.missing("cfn-lint")
    done = subprocess.run([parts.CFN, TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
