"""Where the CPU of one download goes: each layer called by itself in this process, and what is left.

Run: python -m tests.bench.layers [--database postgresql] [--seconds N]. One thread, a token and a stage that were asked
for before. What gunicorn, the sockets and many threads at once add is in `tests.bench.issue`.
"""

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial
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
from tests import postgres
from tests.bench import hello, measure
from tests.bench.issue import BUCKET, STAGE, publish, sealing
from tests.templates import Template, build_template
from tests.world import STRANGER

FILES = (1, 100)
WHOLE, HELLO, CALLER, ISSUE = (
    "POST /downloads, whole",
    "Flask hello, whole",
    "identify, kept",
    "issue: decide, log, sign",
)
APPEND, ROW, URLS, RECEIPT = "append, committed", "one row, committed", "sign the URLs", "sign the receipt"
PART_OF = {ISSUE: WHOLE, CALLER: WHOLE, APPEND: ISSUE, ROW: APPEND, URLS: ISSUE, RECEIPT: ISSUE}
Cost = tuple[float, float]  # CPU µs of one, here and in the database's processes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), BUCKET))
        url, beside = f"sqlite:///{folder}/weightgate.sqlite3", no_seconds
        if options.database == "postgresql":
            database = stack.enter_context(postgres.started())
            url, beside = database.create("bench"), partial(measure.tree_seconds, database.process.pid)
        template = build_template(options.database, folder, url, store)
        publish(template, folder)
        stack.enter_context(sealing(folder))
        use = stack.enter_context(closing(Resources(template.settings)))
        cases = [
            measure.in_process(f"{name}, {files}", work, beside)
            for files in FILES
            for name, work in _works(use, template, files).items()
        ]
        outcomes = measure.interleave(cases, rounds=options.rounds, seconds=options.seconds)
    report = _report(outcomes)
    print(report)
    measure.write_section(f"layers, {options.database}", report)
    return 0


def no_seconds() -> float:
    return 0.0


def _works(use: Resources, template: Template, files: int) -> dict[str, Callable[[], int]]:
    """What is called, by name; each does one."""
    token = template.example.tokens["cleared"]
    order = Order(STAGE, paths=[f"shard-{number:05}.json" for number in range(files)])
    fresh, _ = authentication.identify(use, token, STRANGER)
    download = issuing.issue(use, fresh, order)
    caller, _ = authentication.identify(use, token, STRANGER, kept=True)
    with use.database.reading() as session:
        generation, log = authority.current(session), session.scalars(_NEWEST).one()
    record = orjson.loads(download.entry.record)
    given = {key: value for key, value in record.items() if key not in {"time", "kind", "version"}}
    stored, signer = [file.stored for file in download.files], use.receipt_signer(log.receipt_vkey)
    whole, floor = web.create(use), hello.app
    body = orjson.dumps({"stage": STAGE, "paths": order.paths})

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
        WHOLE: lambda: _ask(whole, token, body),
        HELLO: lambda: _ask(floor, token, body),
        CALLER: lambda: authentication.identify(use, token, STRANGER, kept=True),
        ISSUE: lambda: issuing.issue(use, caller, order),
        APPEND: append,
        ROW: touch,
        URLS: sign,
        RECEIPT: receipt,
    }
    return {name: _one(act) for name, act in acts.items()}


def _one(act: Callable[[], object]) -> Callable[[], int]:
    def work() -> int:
        act()
        return 1

    return work


def _ask(app: Flask, token: str, body: bytes) -> None:
    """One request as gunicorn would hand it over. Raises RuntimeError unless it is answered well."""
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
    costs: dict[int, dict[str, Cost]] = {
        files: {
            name: (outcomes[f"{name}, {files}"].figure("own_us"), outcomes[f"{name}, {files}"].figure("beside_us"))
            for name in (WHOLE, HELLO, *PART_OF)
        }
        for files in FILES
    }
    rows = [
        (name, PART_OF.get(name, "–"), *(cell for files in FILES for cell in _cells(name, costs[files])))
        for name in costs[FILES[0]]
    ]
    left = ("left for Flask, the doors' rules, order and answer", WHOLE)
    rows.append((*left, *(cell for files in FILES for cell in _cells_left(costs[files]))))
    columns = [f"{files} file{'' if files == 1 else 's'}: {what}" for files in FILES for what in ("CPU µs", "share")]
    return "\n\n".join(
        [
            measure.header(("flask", "apiflask", "sqlalchemy", "cryptography")),
            "CPU of this process + of the database's, and the share of the whole.",
            measure.table(("what", "is a part of", *columns), rows),
            measure.noise(list(outcomes.values())),
        ]
    )


def _cells(name: str, costs: dict[str, Cost]) -> tuple[str, str]:
    return _told(costs[name], sum(costs[WHOLE]))


def _cells_left(costs: dict[str, Cost]) -> tuple[str, str]:
    own, beside = (costs[WHOLE][place] - costs[CALLER][place] - costs[ISSUE][place] for place in (0, 1))
    return _told((own, beside), sum(costs[WHOLE]))


def _told(cost: Cost, whole: float) -> tuple[str, str]:
    own, beside = cost
    return f"{own:.0f} + {max(0.0, beside):.0f}", f"{100 * sum(cost) / whole:.0f} %"


if __name__ == "__main__":
    sys.exit(main())
