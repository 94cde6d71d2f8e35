"""Traces: a collector gets spans of what a request did, and nothing else of it."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from server import settings, traces
from server.settings import SettingsError
from server.storage.embedded import free_port
from tests.world import World

SECRET = "hush"


class Collector:
    """An OTLP receiver: keeps what was sent to it. `stop` first sends what is left."""

    def __init__(self) -> None:
        received = self.received = list[bytes]()

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                received.append(body if self.path == "/v1/traces" else b"")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Receiver)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def spans(self) -> list[Any]:
        """All that was sent, in the order in which it began."""
        traces.stop()
        sent = [ExportTraceServiceRequest.FromString(body) for body in self.received]
        found = [
            span
            for one in sent
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


BY_KEPT_FACTS = ("POST /api/v1/downloads", "append")


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    traces.start(made.address, 1.0)
    try:
        yield made
    finally:
        traces.stop()
        made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_download_s_trace_shows_what_it_did(world: World, collector: Collector) -> None:
    """The request, its transaction, and in it the decision and the entry; then the signing. In one trace."""
    answer = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    spans = collector.spans()
    names = {span.span_id: span.name for span in spans}
    assert [(span.name, names.get(span.parent_span_id)) for span in spans] == [
        ("POST /api/v1/downloads", None),
        ("transaction", "POST /api/v1/downloads"),
        ("decide", "transaction"),
        ("append", "transaction"),
    ]
    assert len({span.trace_id for span in spans}) == 1
    assert attributes(spans[0]) == {
        "http.request.method": "POST", "http.route": "/api/v1/downloads", "http.response.status_code": 201,
        "weightgate.request_id": answer.headers["X-Request-Id"],
    }  # fmt: skip


def test_a_download_by_kept_facts_has_one_step_to_the_database(world: World, collector: Collector) -> None:
    """The second one of the same caller decides without reading, and appends by one statement."""
    for _ in range(2):
        assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    spans = collector.spans()
    assert tuple(span.name for span in spans if span.trace_id == spans[-1].trace_id) == BY_KEPT_FACTS


def test_the_real_signer_is_a_span(sqlite_world: World, collector: Collector) -> None:
    """The one that follows its key file, which the tests' worlds put a watched one around."""
    from server.domain.resources import Resources

    use = Resources(sqlite_world.settings)
    use.signer.sign([], download_id="x", lifetime_seconds=60, moment=sqlite_world.clock())
    use.close()
    assert [span.name for span in collector.spans()] == ["sign"]


def test_each_caller_s_spans_are_their_own(sqlite_world: World, collector: Collector) -> None:
    """Also where another request's thread does the work, as SQLite's shared commits have it."""
    assert sqlite_world.client is not None

    def order(_: int) -> int:
        with sqlite_world.client.application.test_client() as client:
            headers = {"Authorization": f"Bearer {sqlite_world.example.tokens['cleared']}"}
            status = client.post("/api/v1/downloads", json={"stage": "gpt-2/774M"}, headers=headers).status_code
        return int(status)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(order, range(24))) == {201}
    by_trace: dict[bytes, list[str]] = {}
    for span in collector.spans():
        by_trace.setdefault(span.trace_id, []).append(span.name)
    assert len(by_trace) == 24
    ways = {tuple(sorted(names)) for names in by_trace.values()}
    assert ways <= {("POST /api/v1/downloads", "append", "decide", "transaction"), BY_KEPT_FACTS}


def test_a_trace_holds_no_secret_and_no_name(sqlite_world: World, collector: Collector) -> None:
    """Of a refused request with a secret wherever one can be, and with a trace of the client's own."""
    token = sqlite_world.example.tokens["uncleared"]
    sqlite_world.ask("POST", "/api/v1/downloads", "uncleared", json={"stage": "gpt-2/774M", "paths": [f"{SECRET}.bin"]})
    sqlite_world.ask("GET", f"/{SECRET}/x?token={SECRET}", None, headers={"Cookie": f"session={SECRET}"})
    sqlite_world.ask(SECRET.upper(), "/api/v1/me", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"})
    spans = collector.spans()
    sent = b"".join(collector.received)
    for secret in (SECRET, SECRET.upper(), token, token[17:], "774M", "gpt-2", "127.0.0.1", "beacon"):
        assert secret.encode() not in sent, secret
    assert {attributes(span).get("error.type") for span in spans} == {None, "NotCleared"}
    assert [span.name for span in spans if span.events or span.status.message] == []  # where an error's text would be
    assert b"\xab" * 16 not in {span.trace_id for span in spans}
    assert [span.name for span in spans if not span.parent_span_id][1:] == ["GET none", "_OTHER none"]


def test_a_collector_that_is_away_delays_nothing(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are dropped then; the download is issued."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(traces, "EXPORT_SECONDS", 1)
    traces.start(f"http://127.0.0.1:{free_port()}", 1.0)
    try:
        assert sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    finally:
        traces.stop()


def test_a_share_is_a_share_of_requests() -> None:
    """Whole traces are kept or left out, never parts."""
    made = Collector()
    traces.start(made.address, 0.5)
    for _ in range(200):
        one = traces.Request("GET", "/x")
        traces.spanned("within")(int)()
        one.end()
    spans = made.spans()
    made.close()
    roots = {span.trace_id for span in spans if not span.parent_span_id}
    assert 0 < len(roots) < 200
    assert len(spans) == 2 * len(roots)


def test_without_the_setting_nothing_is_imported(sqlite_world: World) -> None:
    """Nor asked at each request: the libraries cost a start a tenth of a second and ten megabytes."""
    code = "import sys; from server import create_app; from pathlib import Path; create_app(Path(sys.argv[1])); "
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(sqlite_world.folder)], capture_output=True, text=True, check=True,
        env={**os.environ},
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_where_it_is_not_installed_the_setting_is_refused(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, with what to do."""
    monkeypatch.setattr(traces, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"traces_endpoint.*add the extra `traces`"):
        settings.load(sqlite_world.folder, {"WEIGHTGATE_TRACES_ENDPOINT": "http://127.0.0.1:4318"})
