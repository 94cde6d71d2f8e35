"""Weightgate: gated, logged distribution of model weights."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.domain.resources import Resources
    from server.web.app import WeightgateApp


def create_app(folder: Path) -> "WeightgateApp":
    """Return the web application of the instance in `folder`: settings, then resources, then web."""
    from server import logger, settings
    from server.domain.resources import Resources

    loaded = settings.load(folder)
    logger.configure(loaded.logger_level)
    return app_over(Resources(loaded))


def app_over(use: "Resources") -> "WeightgateApp":
    """Return the web application over these resources, once what it answers with is open."""
    import structlog

    from server import traces
    from server.domain.operation import nodes
    from server.storage.database import DatabaseUnavailable
    from server.web import app

    use.count_as("web")
    if use.settings.traces_endpoint is not None:
        traces.start(use.settings.traces_endpoint, use.settings.traces_share)
    try:
        use.open_for_web()
        use.outside.also(nodes.Beats(use, "web"))
        use.outside.start()
    except DatabaseUnavailable as error:
        # Whatever else ends a process at its start ends gunicorn, too. This passes: until then each request is a 503.
        structlog.get_logger(__name__).warning("started without the database", reason=str(error))
    return app.create(use)
