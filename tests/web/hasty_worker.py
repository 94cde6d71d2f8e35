"""A worker with little patience, and a small application: what gunicorn is given where only the waiting counts."""

from typing import Any

from server.web.patient_worker import PatientWorker


class HastyWorker(PatientWorker):
    """Waits only for as long as a test may last."""

    request_seconds = 1.0


def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers everything."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
