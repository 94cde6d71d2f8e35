"""The auditor's pages: the log, its heads, what was fetched, alarms, exports, proof, and who could have taken what."""

from server.web.portal.audit import (
    alarms,
    charts,
    exports,
    exposure,
    heads,
    log,
    reconciliation,
    search,
    verifications,
)

MODULES = (alarms, charts, exports, exposure, heads, log, reconciliation, search, verifications)
