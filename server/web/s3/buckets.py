"""Buckets: that there is one, and where."""

from flask import Response

from server import dates
from server.domain.identity.s3_keys import BUCKET
from server.domain.resources import Resources
from server.web.s3 import xml

REGION = "us-east-1"  # what clients sign for when nothing else is said; any is taken


def index(use: Resources) -> Response:
    """ListBuckets."""
    owner = [("ID", "weightgate"), ("DisplayName", "weightgate")]
    bucket = [("Name", BUCKET), ("CreationDate", dates.rfc3339(use.clock().replace(month=1, day=1, hour=0, minute=0)))]
    return xml.answer("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", [("Bucket", bucket)])])


def location() -> Response:
    """GetBucketLocation. Empty is us-east-1."""
    return xml.answer("LocationConstraint", [])


def look() -> Response:
    """HeadBucket."""
    return Response(status=200, headers={"x-amz-bucket-region": REGION}, content_type="application/xml")
