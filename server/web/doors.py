"""Doors: by which one a request comes in decides what it may carry and in which form it is answered."""

from enum import Enum

from flask import Blueprint, Flask, request
from flask.ctx import RequestContext
from flask.globals import request_ctx
from werkzeug.routing import Rule

_KEY = "weightgate_doors"


class Door(Enum):
    """A kind of client, with the ways that it knows. Addresses say nothing about it: the hub's begin with /api/ too."""

    API = "programs of our own users"
    HUB = "the Hugging Face client, and what else asks as it does"
    OCI = "container tools"
    PORTAL = "people with a browser"
    LOG = "people and programs that verify the log"
    HEALTH = "monitoring"
    CONTACT = "people who found a weakness"
    CLIENT = "pip, which installs our client"
    S3 = "tools that read from S3"
    STS = "the AWS libraries, where they ask for keys"

    @property
    def is_for_people(self) -> bool:
        """Errors are pages, and a cookie holds what forms and messages need; elsewhere neither exists."""
        return self is Door.PORTAL

    @property
    def names_its_queries(self) -> bool:
        """Each view says which query parameters it reads, so that any other is a caller's mistake."""
        return self is Door.API

    @property
    def repeats_its_queries(self) -> bool:
        """The client sends a list as one parameter several times, and has parameters that no version of ours knows."""
        return self in {Door.HUB, Door.OCI, Door.S3, Door.STS}


class Entry(RequestContext):
    """A request's context that finds the view and its door once: the session needs them before Flask would look."""

    door: Door | None = None
    _is_matched = False

    def match_request(self) -> None:
        if not self._is_matched:
            self._is_matched = True
            super().match_request()
            self.door = None if self.request.url_rule is None else _of(self.app, self.request.url_rule)


class UndeclaredDoor(Exception):
    """A route belongs to no door. The server does not start."""


def open_to(door: Door, app: Flask, *blueprints: Blueprint) -> None:
    """Register blueprints with an app, as parts of a door."""
    doors = app.extensions.setdefault(_KEY, {})
    for blueprint in blueprints:
        doors[blueprint.name] = door
        app.register_blueprint(blueprint)


def require_declared(app: Flask) -> None:
    """Raise UndeclaredDoor for the first route whose blueprint belongs to none."""
    for rule in app.url_map.iter_rules():
        if _of(app, rule) is None:
            raise UndeclaredDoor(f"{rule.rule} ({rule.endpoint}) does not say by which door it is reached")


def entered() -> Door | None:
    """The door of this request; None where its address leads to no view."""
    door: Door | None = request_ctx.door  # type: ignore[attr-defined]  # an Entry
    return door


def is_for_people() -> bool:
    """Whether a person reads the answer. Where no view is, it is for the one who says that they read pages."""
    door = entered()
    if door is not None:
        return door.is_for_people
    return request.accept_mimetypes.quality("text/html") > 0 and "text/html" in request.headers.get("Accept", "")


def _of(app: Flask, rule: Rule) -> Door | None:
    door: Door | None = app.extensions.get(_KEY, {}).get(rule.endpoint.rpartition(".")[0])
    return door
