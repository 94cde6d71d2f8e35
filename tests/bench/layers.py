"""Where the CPU of one download goes: each layer called by itself in this process, on SQLite, and what is left.

Run: python -m tests.bench.layers [--seconds N]. One thread, one file, a token and a stage that were asked for before.
What gunicorn, the sockets and many threads at once add is in `tests.bench.issue`.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import orjson
from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import EnvironBuilder

from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.identity import authentication
from server.domain.identity.people import Person
from server.domain.resources import Resources
from server.log import authority, receipts, tree
from server.log.entries import Log
from server.log.receipts import Receipt
from server.storage.embedded import EmbeddedStore, free_port
from server.web import app as web
from tests.bench import hello, measure
from tests.bench.issue import BUCKET, STAGE, publish, sealing
from tests.templates import Template, build_template
from tests.world import STRANGER

PATH = "shard-00000.json"
ALL, HELLO = "POST /downloads, whole", "Flask hello, whole"
NESTED = {
    "issue: decide, log, sign": ALL, "identify, kept": ALL, "append, committed": "issue: decide, log, sign",
    "transaction of one row, committed": "append, committed", "sign one URL": "issue: decide, log, sign",
    "sign the receipt": "issue: decide, log, sign",
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), BUCKET))
        template = build_template("sqlite", folder, f"sqlite:///{folder}/weightgate.sqlite3", store)
        publish(template, folder)
        stack.enter_context(sealing(folder))
        use = stack.enter_context(closing(Resources(template.settings)))
        cases = [measure.in_process(name, work) for name, work in _works(use, template).items()]
        outcomes = measure.interleave(cases, rounds=options.rounds, seconds=options.seconds)
    report = _report(outcomes)
    print(report)
    measure.write_section("layers", report)
    return 0


def _works(use: Resources, template: Template) -> dict[str, Callable[[], int]]:
    """What is called, by name; each does one."""
    token = template.example.tokens["cleared"]
    order = Order(STAGE, paths=[PATH])
    fresh, _ = authentication.identify(use, token, STRANGER)
    download = issuing.issue(use, fresh, order)
    caller, _ = authentication.identify(use, token, STRANGER, kept=True)
    with use.database.reading() as session:
        generation, log = authority.current(session), session.scalars(_NEWEST).one()
    record = orjson.loads(download.entry.record)
    given = {key: value for key, value in record.items() if key not in {"time", "kind", "version"}}
    stored, signer = [file.stored for file in download.files], use.receipt_signer(log.receipt_vkey)
    whole, floor = web.create(use), hello.app

    def append() -> object:
        return authority.append_under(
            use.database, generation, log.id, "download", use.clock(), given, subject=os.urandom(8).hex()
        )

    def sign() -> object:
        return use.signer.sign(stored, download_id=download.id, lifetime_seconds=300)

    def receipt() -> object:
        promise = Receipt(log.origin, tree.leaf_hash(download.entry.commitment), download.entry.time_ms, 60)
        return receipts.sign(promise, signer)

    def touch() -> object:
        return use.database.together(lambda session: session.execute(_TOUCH))

    acts: dict[str, Callable[[], object]] = {
        ALL: lambda: _ask(whole, token),
        HELLO: lambda: _ask(floor, token),
        "identify, kept": lambda: authentication.identify(use, token, STRANGER, kept=True),
        "issue: decide, log, sign": lambda: issuing.issue(use, caller, order),
        "append, committed": append,
        "transaction of one row, committed": touch,
        "sign one URL": sign,
        "sign the receipt": receipt,
    }
    return {name: _one(act) for name, act in acts.items()}


def _one(act: Callable[[], object]) -> Callable[[], int]:
    def work() -> int:
        act()
        return 1

    return work


def _ask(app: Flask, token: str) -> None:
    """One request as gunicorn would hand it over. Raises RuntimeError unless it is answered well."""
    body = orjson.dumps({"stage": STAGE, "paths": [PATH]})
    environ: dict[str, Any] = _ENVIRON | {
        "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": f"Bearer {token}",
    }  # fmt: skip
    statuses: list[str] = []

    def start(status: str, _headers: object, _error: object = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _: None

    answer: Iterable[bytes] = app(environ, start)
    for _ in answer:
        pass
    getattr(answer, "close", lambda: None)()
    if not statuses[0].startswith("2"):
        raise RuntimeError(f"the answer was {statuses[0]}")


_ENVIRON = EnvironBuilder("/api/v1/downloads", method="POST", content_type="application/json").get_environ()
_NEWEST = select(Log).order_by(Log.id.desc()).limit(1)
_TOUCH = update(Person).where(Person.id == 1).values(totp_step=Person.totp_step)


def _report(outcomes: dict[str, measure.Outcome]) -> str:
    rows = []
    cost = {name: 1e6 * _cpu_seconds(outcome) for name, outcome in outcomes.items()}
    for name, outcome in outcomes.items():
        within = NESTED.get(name, "")
        rows.append(
            (name, within or "–", f"{cost[name]:.0f}", f"{100 * cost[name] / cost[ALL]:.0f} %", f"{outcome.spread:.2f}")
        )
    parts = cost["identify, kept"] + cost["issue: decide, log, sign"]
    left = cost[ALL] - parts
    return "\n\n".join(
        [
            measure.header(("flask", "apiflask", "sqlalchemy", "cryptography")),
            measure.table(("what", "is a part of", "CPU µs", "of the whole", "max/min"), rows),
            f"- left for Flask, the doors' rules, the order and the answer: {left:.0f} µs (a hello: {cost[HELLO]:.0f})",
            measure.noise(list(outcomes.values())),
        ]
    )


def _cpu_seconds(outcome: measure.Outcome) -> float:
    """Of one, by the median turn."""
    return statistics.median(turn.cpu_seconds / turn.figures["done"] for turn in outcome.turns)


if __name__ == "__main__":
    sys.exit(main())
