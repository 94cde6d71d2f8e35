"""The web application, put together."""

from apiflask import APIFlask

from server.domain.resources import Resources
from server.web import errors, health, identity, log, safety
from server.web.api import (
    agreements,
    checkpoints,
    clearances,
    description,
    downloads,
    log_entries,
    me,
    organizations,
    people,
    public_keys,
    stages,
    tiers,
    tokens,
)
from server.web.requests import StrictRequest

API = (
    agreements, checkpoints, clearances, description, downloads, log_entries, me, organizations, people, public_keys,
    stages, tiers, tokens,
)  # fmt: skip


class WeightgateApp(APIFlask):
    request_class = StrictRequest


def create(use: Resources) -> WeightgateApp:
    """Return the app over these resources. Raises UndeclaredView when a route does not say who may call it."""
    app = WeightgateApp(
        "server.web",
        title="Weightgate",
        version="1",
        spec_path=None,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # its annotation forgot it
    )
    app.config["AUTO_404_RESPONSE"] = False
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.extensions["weightgate"] = use
    app.url_map.merge_slashes = False  # `//` is a wrong address; correcting it would answer a POST with a redirect
    safety.register(app)
    errors.register(app)
    app.register_blueprint(health.bp)
    app.register_blueprint(log.bp)
    for module in API:
        app.register_blueprint(module.bp)
    identity.require_declared(app)
    description.describe(app)
    return app
