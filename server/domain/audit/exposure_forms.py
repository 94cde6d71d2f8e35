"""Exposure in other forms than a page: a table to save, an object for scripts, and rows for a terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from server import dates
from server.domain.audit.exports import csv_line
from server.domain.audit.exposure import Authority, Exposure, Span, Taken

CSV_COLUMNS = (
    "stage", "organization", "person", "role", "could", "since", "until", "clearance", "tier", "signature",
    "agreement_sha256", "downloads", "issued_bytes", "fetched_bytes",
)  # fmt: skip


def as_csv(found: Exposure) -> Iterator[str]:
    """Lines: for each authority of an organization, each time of a person, and what each was issued."""
    yield csv_line(CSV_COLUMNS)
    for span in found.anyone:
        yield csv_line((found.stage, "", "", "", "anyone", *_edges(span), *[""] * 7))
    for one in found.organizations:
        for it in one.authorities:
            rests_on = (it.clearance, it.tier, it.signature, it.agreement_sha256)
            yield csv_line((found.stage, one.slug, "", "", "organization", *_edges(it), *rests_on, "", "", ""))
        for person in one.people.values():
            for span in person.spans:
                who = (person.email, person.role, "person")
                yield csv_line((found.stage, one.slug, *who, *_edges(span), *[""] * 7))
    for taken in found.taken:
        issued_bytes = "" if taken.archived else taken.issued_bytes  # a part would look like the whole
        counts = (taken.downloads, issued_bytes, taken.fetched_bytes)
        yield csv_line(
            (found.stage, taken.organization, taken.person, "", "did", *_taken(found, taken), "", "", "", "", *counts)
        )


def as_body(found: Exposure) -> dict[str, Any]:
    """All of it, with moments in RFC 3339."""
    return {
        "stage": found.stage,
        **_span(found),
        "anyone": [_span(one) for one in found.anyone],
        "organizations": [
            {
                "organization": one.slug,
                "authorities": [_authority(it) for it in one.authorities],
                "people": [
                    {"person": person.email, "role": person.role, "spans": [_span(span) for span in person.spans]}
                    for person in one.people.values()
                ],
            }
            for one in found.organizations
        ],
        "downloads": [
            asdict(one) | dict(zip(("first_at", "last_at"), _taken(found, one), strict=True)) for one in found.taken
        ],
        "downloads_cut": found.cut,
        "downloads_without_bytes": found.archived,
    }


def as_rows(found: Exposure) -> Iterator[tuple[str, str, datetime, datetime, int | None, int | None]]:
    """Who, whether they could or did, from when, until when, under which clearance, and how often."""
    for span in found.anyone:
        yield "anyone", "could", span.since, span.until, None, None
    for one in found.organizations:
        for it in one.authorities:
            yield one.slug, "could", it.since, it.until, it.clearance, None
        for person in one.people.values():
            for span in person.spans:
                yield f"{person.email} ({one.slug})", "could", span.since, span.until, None, None
    for taken in found.taken:
        who = taken.person or "without sign-in"
        yield who, "did", taken.first_at or found.since, taken.last_at or found.until, None, taken.downloads


def _authority(one: Authority) -> dict[str, Any]:
    return asdict(one) | _span(one)


def _span(one: Span | Exposure) -> dict[str, str]:
    return {"since": dates.rfc3339(one.since), "until": dates.rfc3339(one.until)}


def _edges(span: Span) -> tuple[str, str]:
    return dates.rfc3339(span.since), dates.rfc3339(span.until)


def _taken(found: Exposure, one: Taken) -> tuple[str, str]:
    return dates.rfc3339(one.first_at or found.since), dates.rfc3339(one.last_at or found.until)
