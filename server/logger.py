"""The program's own messages: one JSON line each on standard error, with everything secret taken out on the way."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# A message is read by more people than may use what it could quote: tokens, signed URLs, passwords inside URLs.
_SECRETS = re.compile(
    r"(?P<token>wg[ks]_[0-9A-Za-z]{2,12})[0-9A-Za-z_]*"
    r"|(?P<signed>X-Amz-(?:Signature|Security-Token|Credential)=)[^&\s\"']+"
    r"|(?P<bearer>[Bb]earer\s+)[^\s\"',}]+"
    r"|(?P<url>://[^\s:/@]+:)[^\s@/]+(?=@)"
)


def redact(text: str) -> str:
    """Return the text with tokens, signatures, bearer credentials and passwords in URLs replaced by `[redacted]`."""
    return _SECRETS.sub(lambda match: (match[match.lastgroup or 0] or "") + "[redacted]", text)


def configure(level: str) -> None:
    """Send all messages, the libraries' too, through the redaction to standard error."""
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
    handler = logging.StreamHandler(sys.stderr)
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


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}
