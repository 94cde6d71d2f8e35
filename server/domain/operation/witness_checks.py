"""Checks of the witnesses: each that has not cosigned the newest head is shown it, and what it says is told."""

from contextlib import closing

from server import dates
from server.domain.audit import logs, witnessing
from server.domain.operation import bootstrap
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources


def cosign(use: Resources) -> str:
    """Each witness of the settings has cosigned the newest head, or does so now. Raises Wrong, DatabaseUnavailable."""
    named = use.settings.witnesses
    if not named:
        return "none: nobody outside would notice a log that is shown differently to different people"
    if not bootstrap.has_begun(use):
        raise Wrong("not asked: there is no log yet")
    with closing(use.as_sealer()) as sealing:  # the web's role stores no cosignature
        for witness in named:
            witnessing.ask(sealing, witness, at_once=True)
        with sealing.database.reading() as session:
            seen = witnessing.seen(session, sealing, logs.current(session))
    wrong = [
        f"{one.name}: {one.fault or 'has cosigned nothing yet'}" for one in seen if one.fault or not one.cosigned_at
    ]
    if wrong:
        raise Wrong(*wrong)
    return ", ".join(
        f"{one.name} cosigned the log on {dates.minute(one.cosigned_at)}" for one in seen if one.cosigned_at
    )
