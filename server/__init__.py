"""Weightgate: gated, logged distribution of model weights."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.web.app import WeightgateApp


def create_app(folder: Path) -> "WeightgateApp":
    """Return the web application of the instance in `folder`: settings, then resources, then web."""
    from server import logger, settings
    from server.domain.resources import Resources
    from server.web import app

    loaded = settings.load(folder)
    logger.configure(loaded.logger_level)
    use = Resources(loaded)
    use.open_for_web()
    return app.create(use)
