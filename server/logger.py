"""The program's own messages: one JSON line each on standard error, with everything secret taken out on the way."""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

# A message is read by more people than may use what it could quote: tokens, signed URLs, passwords inside URLs.
_SECRETS = re.compile(
    r"(?:wg[ks]_|hf_(?=[0-9a-z]{34}))(?P<token>[0-9A-Za-z]{2,12})[0-9A-Za-z_]*"
    r"|(?P<link>/(?:invitations|password)/)[A-Za-z0-9_-]{30,}"
    r"|(?P<signed>(?:X-Amz-(?:Signature|Security-Token|Credential)|(?-i:Policy|Signature)(?==|%))"
    r"(?:[\"']?\s*[:=]\s*[\"']?|%(?:25)*3D|/)?)[^&\s\"']+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"  # an identity token
    r"|(?P<bearer>\bbearer\s+)[^\s\"',}]+"
    r"|(?P<header>\bauthorization[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n}]+"
    r"|(?P<url>://[^\s:/@\"']*:)[^\s/\"']+(?=@)",
    re.IGNORECASE,
)
# Where a link begins, its query does, or what signs one; plainly or encoded, however often. A client that damages a
# link's `?` makes all of its query a part of the path, living signature included.
_LINK = re.compile(
    r"(?:[?&]|://|%(?:25)*3f|%(?:25)*26|%(?:25)*3a%(?:25)*2f|x-amz-|policy=|signature=).*", re.IGNORECASE | re.DOTALL
)
_SECRET_NAMES = frozenset({"authorization", "cookie", "password", "secret", "secret_access_key", "totp_secret"})


def redact(text: str) -> str:
    """Return the text without tokens, of which the id stays, signatures, credentials in headers and in URLs."""
    return _SECRETS.sub(_replacement, text)


def without_links(text: str) -> str:
    """Return what a client or a foreign log wrote up to its first link or query, and redacted: nothing opens a file."""
    return redact(_LINK.sub("…", text))


def configure(level: str) -> None:
    """Send all messages, the libraries' too, through the redaction to standard error."""
    import structlog  # `redact` is needed by commands that send none, and are over before this were imported

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_event,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("botocore", "boto3", "urllib3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.WARNING)  # their debug messages hold whole requests
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it greets whenever the schema is looked at
    for name in ("gunicorn.error", "gunicorn.access"):
        # gunicorn prints by itself, and quotes malformed requests: also its messages take the way through redaction.
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        # logging's own way prints the message as it was, secrets and all.
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps({"event": "message_lost", "logger": record.name}) + "\n")


def _replacement(match: re.Match[str]) -> str:
    if match.lastgroup == "token":
        return f"[redacted token {match['token']}]"
    return (match[match.lastgroup or 0] or "") + "[redacted]"


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _redacted(value, key) for key, value in event.items()}


def _redacted(value: Any, name: str = "") -> Any:
    """The value without secrets, however deep they lie; what JSON has no form for, as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if name.lower() in _SECRET_NAMES:
        return "[redacted]"
    if isinstance(value, Mapping):
        return {redact(str(key)): _redacted(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item) for item in value]
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"))
    return redact(value if isinstance(value, str) else repr(value))
