"""Observing: every request is timed under its route, and can be told of in a line that holds no secret."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from server import logger
from server.domain.meters import REQUESTS, UNAVAILABLE, UNEXPECTED, ProcessMeters
from server.domain.operation import readiness
from server.storage import meter_files
from server.storage.database import Database, DatabaseUnavailable
from server.web import observing
from server.web.doors import Door
from tests.world import World


@pytest.fixture
def lines(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the program writes, with `access_lines`."""
    root, defaults = logging.getLogger(), structlog.get_config()
    before, level, stream = root.handlers[:], root.level, io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logger.configure("info")
    monkeypatch.setattr(observing, "logger", structlog.get_logger("server.access"))
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"access_lines": True})
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**{**defaults, "cache_logger_on_first_use": False})


def line(stream: io.StringIO) -> dict[str, Any]:
    """The only line about a request."""
    (found,) = [one for one in map(json.loads, stream.getvalue().splitlines()) if one["logger"] == "server.access"]
    assert isinstance(found, dict)
    return found


def test_a_request_is_one_line(sqlite_world: World, lines: io.StringIO) -> None:
    """Who, what, how long, how much and under which ID, in the form of all other messages."""
    answer = sqlite_world.api("GET", "/stages/gpt-2/774M")
    found = line(lines)
    caller = sqlite_world.caller("cleared")
    assert {name: found[name] for name in ("event", "level", "method", "path", "route", "status")} == {
        "event": "request", "level": "info", "method": "GET", "path": "/api/v1/stages/gpt-2/774M",
        "route": "/api/v1/stages/<model>/<stage>", "status": 200,
    }  # fmt: skip
    assert (found["token"], found["person"]) == (caller.token_public_id, caller.person_id)
    assert (found["request_id"], found["bytes"]) == (answer.headers["X-Request-Id"], len(answer.data))
    assert (found["address"], 0 < found["seconds"] < 60) == ("127.0.0.1", True)


def test_a_person_is_named_by_number(sqlite_world: World, lines: io.StringIO) -> None:
    """In the portal; an email address is nothing for a line that many read."""
    sqlite_world.visit("cleared").get("/")
    found = [one for one in map(json.loads, lines.getvalue().splitlines()) if one.get("path") == "/"]
    assert found[-1]["person"] == sqlite_world.person("cleared").person_id
    assert sqlite_world.example.people["cleared"]["email"] not in lines.getvalue()


SECRETS = ["/invitations/0123456789abcdef0123456789abcdef", "/x%3FX-Amz-Signature=hush", "/wgk_0123456789ab_hush"]


@pytest.mark.parametrize("path", SECRETS)
def test_no_secret_of_an_address_is_written(sqlite_world: World, lines: io.StringIO, path: str) -> None:
    """Neither a link's secret nor a signature or a token in the path, and never a query; a header least of all."""
    sqlite_world.ask("GET", f"{path}?next=hush-too", "cleared", headers={"Cookie": "session=hush-cookie"})
    assert line(lines)["method"] == "GET"
    token = sqlite_world.example.tokens["cleared"]
    for secret in ("hush", "hush-too", "hush-cookie", token[17:], "0123456789abcdef0123456789abcdef"):
        assert secret not in lines.getvalue()


def test_what_cannot_be_observed_is_answered_all_the_same(
    sqlite_world: World, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault here is told of, and is no fault of the request."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(observing, "_say", broken)
    assert sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    assert "a request could not be observed" in lines.getvalue()


def test_lines_come_at_every_level(sqlite_world: World, lines: io.StringIO) -> None:
    """Whoever wants them wants them, however few other messages."""
    logging.getLogger().setLevel("ERROR")
    sqlite_world.api("GET", "/stages")
    assert line(lines)["status"] == 200


def test_without_the_setting_there_is_no_line(sqlite_world: World, lines: io.StringIO) -> None:
    """nginx writes them where it stands in front."""
    sqlite_world.use.settings = sqlite_world.settings
    sqlite_world.api("GET", "/stages")
    assert lines.getvalue() == ""


@pytest.fixture
def counting(sqlite_world: World, tmp_path: Path) -> World:
    sqlite_world.use.meters = ProcessMeters(tmp_path / "metrics", "web")
    return sqlite_world


def counted(world: World, tmp_path: Path) -> meter_files.Counted:
    assert isinstance(world.use.meters, ProcessMeters)
    world.use.meters.write()
    (seen,) = meter_files.read(tmp_path / "metrics")
    return seen.counted


def test_requests_are_timed_by_route_and_class_of_status(counting: World, tmp_path: Path) -> None:
    """Never by what was asked for: an address that leads nowhere is `none`, whatever it says."""
    counting.api("GET", "/stages/gpt-2/774M")
    counting.api("GET", "/stages/gpt-2/999M")
    counting.api("GET", "/secrets/of/gpt-2")
    assert {labels: sum(counts[:-1]) for (_, labels), counts in counted(counting, tmp_path).buckets.items()} == {
        ("stages.show", "2xx"): 1, ("stages.show", "4xx"): 1, ("none", "4xx"): 1,
    }  # fmt: skip
    assert {name for name, _ in counted(counting, tmp_path).buckets} == {REQUESTS.name}


def test_a_503_is_counted_by_the_part_that_failed(
    counting: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a fault of ours as such."""

    def away(*_: object) -> None:
        raise DatabaseUnavailable("the database cannot be used")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    for fault in (away, broken):
        monkeypatch.setattr(Database, "together", fault)
        counting.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    monkeypatch.undo()
    sums = counted(counting, tmp_path).sums
    assert {name: value for name, value in sums.items() if value} == {
        (UNAVAILABLE.name, ("database",)): 1, (UNEXPECTED.name, ()): 1,
    }  # fmt: skip


def test_readiness_appends_nothing_that_is_counted(counting: World, tmp_path: Path) -> None:
    """What is tried and undone is no download."""
    readiness.require_ready(counting.use)
    assert not any(counted(counting, tmp_path).sums.values())


def test_every_door_that_issues_begins_with_0(counting: World, tmp_path: Path) -> None:
    """A door through which downloads go, and that is not listed, would hide its first download."""
    assert counting.client is not None
    doors = {labels[0] for (name, labels) in counted(counting, tmp_path).sums if name == "weightgate_downloads_issued"}
    assert doors == {door.name.lower() for door in Door} - {"log", "health", "client", "contact"}
