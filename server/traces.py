"""Traces: on what each request spends its time, for OpenTelemetry, where the settings name a collector.

Nothing of OpenTelemetry is imported before that. A span has a name of this program, the route as it is declared, and
numbers: no path, no query, no header, no text of an error, and nobody's name. What a client sends about traces is not
believed, so nobody outside decides what is kept.
"""

from collections.abc import Callable
from contextvars import copy_context
from functools import partial, wraps
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

EXPORT_SECONDS = 5
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_provider: "TracerProvider | None" = None

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def are_installed() -> bool:
    """Whether the extra `traces` is there."""
    try:
        return all(find_spec(f"opentelemetry.{part}") for part in ("sdk.trace", "exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False


def start(endpoint: str, share: float) -> None:
    """Send spans to a collector from now on, by OTLP over HTTP, in the background; what it does not take is dropped.

    endpoint: scheme, host and port. share: of the requests, over 0 to 1. Once a process, and not before a fork.
    """
    global _provider  # one a process, as OpenTelemetry has it
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    names = {"service.name": "weightgate", "service.version": version("weightgate-server")}
    provider = TracerProvider(resource=Resource(names), sampler=ParentBased(TraceIdRatioBased(share)))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _provider = provider


def stop() -> None:
    """Send what is left, and no more."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
    _provider = None


def spanned(name: str) -> Callable[[Callable[Asked, Answer]], Callable[Asked, Answer]]:
    """Make each call of a function a span."""

    def decorate(work: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
        @wraps(work)
        def in_span(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
            if _provider is None:
                return work(*args, **kwargs)
            with _span(_provider, name) as span:
                try:
                    return work(*args, **kwargs)
                except Exception as error:
                    span.set_attribute("error.type", type(error).__name__)
                    raise

        return in_span

    return decorate


def kept(work: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """The same work, whose spans are this caller's in whatever thread it is done."""
    return work if _provider is None else partial(copy_context().run, work)


class Request:
    """A request's own span, from its arrival on."""

    def __init__(self, method: str, route: str) -> None:
        self._open: tuple[Span, AbstractContextManager[Span]] | None = None
        if _provider is not None:
            method = method if method in _METHODS else "_OTHER"  # of the semantic conventions for HTTP spans
            around = _span(_provider, f"{method} {route}", server=True)
            span = around.__enter__()
            span.set_attributes({"http.request.method": method, "http.route": route})
            self._open = span, around

    def answered(self, status: int, request_id: str) -> None:
        if self._open is not None:
            self._open[0].set_attributes({"http.response.status_code": status, "weightgate.request_id": request_id})

    def end(self) -> None:
        """In the thread that began it."""
        if self._open is not None:
            self._open[1].__exit__(None, None, None)
            self._open = None


def _span(provider: "TracerProvider", name: str, *, server: bool = False) -> "AbstractContextManager[Span]":
    from opentelemetry.trace import SpanKind

    return provider.get_tracer("weightgate").start_as_current_span(
        name,
        kind=SpanKind.SERVER if server else SpanKind.INTERNAL,
        record_exception=False,  # its text may quote what was asked for
        set_status_on_exception=False,
    )
