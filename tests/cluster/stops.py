"""What is revoked while a client keeps asking, and then granted anew by the proper way: a clearance, a token."""

import random
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from server.domain.access.signatures import Signature
from server.domain.identity.organizations import Organization
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import Client, asking
from tests.cluster.publishing import as_person

STAGE, FILE = "gpt-2/774M", "hparams.json"
ORGANIZATION = "cedar-systems"  # has no clearance in the worked example, and has signed nothing
REFUSED = (401, 403)
ASKERS, ASKS_PER_SECOND = 2, 2
SEEN_REFUSED_WITHIN_SECONDS = 60


@dataclass
class Stop(ABC):
    """Something that lets a client download until it is revoked. Commands are given on both machines in turn."""

    cluster: Cluster
    ledger: Ledger
    token: str = ""
    revoked: int = 0
    refused: int = 0  # requests that began after a revoke had returned
    _issued: list[tuple[float, float]] = field(default_factory=list)  # when each request began and ended
    _since: float | None = None  # when the revoke had returned
    _lock: threading.Lock = field(default_factory=threading.Lock)

    name = ""

    @property
    @abstractmethod
    def reading_token(self) -> str:
        """Of the same organization, which is never revoked: reads the proofs of its downloads."""

    def prepare(self) -> None:
        """Let it for the first time."""
        self.let()

    @abstractmethod
    def let(self) -> None:
        """Let the client download, from now on or again."""

    @abstractmethod
    def revoke(self) -> None:
        """End that; when it returns, nothing is issued any more."""

    def askers(self) -> list[Client]:
        return [Client(f"{self.name}, {number}", ASKS_PER_SECOND, self._asker()) for number in range(ASKERS)]

    def stop(self, stopping: threading.Event, seconds: float) -> None:
        """Revoke, look for so long at what happens, judge it, and let it again."""
        self.revoke()
        with self._lock:
            self._since, before = time.monotonic(), self.refused
        stopping.wait(seconds)
        deadline = time.monotonic() + SEEN_REFUSED_WITHIN_SECONDS
        while self.refused == before and time.monotonic() < deadline and not stopping.is_set():
            stopping.wait(0.1)
        self._judge()
        with self._lock:
            self._since = None
        self.revoked += 1
        self.let()

    def _judge(self) -> None:
        with self._lock:
            late = [one for one in self._issued if self._since is not None and one[0] >= self._since]
            self._issued.clear()
        if late:
            self.ledger.fault(f"{self.name}: {len(late)} downloads for requests begun after the revoke had returned")

    def _asker(self) -> Any:
        asker = asking(self.cluster, self.ledger, None)

        def ask(_: random.Random) -> None:
            asker.token, began = self.token, time.monotonic()
            order = {"stage": STAGE, "paths": [FILE]}
            answer = asker.ask(f"issue, {self.name}", "POST", "/api/v1/downloads", (201, *REFUSED), json=order)
            if answer is None:
                return
            if answer.status_code == 201:
                self.ledger.holds(f"issue, {self.name}", answer.json(), self.reading_token)
            with self._lock:
                if answer.status_code == 201:
                    self._issued.append((began, time.monotonic()))
                elif self._since is None:
                    return  # the revoke is on its way, or what is let again is not yet known here
                elif began >= self._since:
                    self.refused += 1

        return ask


class OneClearance(Stop):
    """Of an organization: proposed by one admin, approved by another, revoked by either."""

    name = "clearance"
    number = ""

    @property
    def reading_token(self) -> str:
        return self.token

    def prepare(self) -> None:
        self.token = self.cluster.known["tokens"]["uncleared"]
        self.sign()
        self.let()

    def sign(self) -> None:
        """The agreement, unless they have signed it."""
        with self.cluster.resources() as use, use.database.reading() as session:
            of_theirs = select(Signature).join(Signature.organization).where(Organization.slug == ORGANIZATION)
            if session.scalar(of_theirs.limit(1)) is not None:
                return
        as_person(
            self.cluster, self.cluster.machines[0], "admin", "agreement", "record-signature", ORGANIZATION,
            "model-sharing", "--signer-name", "Carla Reyes", "--signer-title", "Head of Research",
            "--signed-on", time.strftime("%Y-%m-%d", time.gmtime()), "--document-sha256", "ab" * 32,
        )  # fmt: skip

    def let(self) -> None:
        first, second = self.cluster.machines
        wanted = ("clearance", "propose", ORGANIZATION, "gpt-2", "research", "--until", "30d", "--purpose", "A load.")
        self.number = str(as_person(self.cluster, first, "admin", *wanted)["id"])
        as_person(self.cluster, second, "admin2", "clearance", "approve", self.number)

    def revoke(self) -> None:
        machine = self.cluster.machines[self.revoked % 2]
        as_person(self.cluster, machine, "admin", "clearance", "revoke", self.number, "--reason", "A load.")


class OneToken(Stop):
    """Made by a partner's owner, who revokes it."""

    name = "token"
    public_id = ""

    @property
    def reading_token(self) -> str:
        return str(self.cluster.known["tokens"]["cleared"])

    def let(self) -> None:
        machine = self.cluster.machines[self.revoked % 2]
        wanted = ("token", "create", f"load {self.revoked}", "--scope", "downloads:create", "--scope", "stages:read")
        made = as_person(self.cluster, machine, "cleared", *wanted)
        self.public_id, self.token = str(made["id"]), str(made["token"])

    def revoke(self) -> None:
        machine = self.cluster.machines[1 - self.revoked % 2]
        as_person(self.cluster, machine, "cleared", "token", "revoke", self.public_id)
