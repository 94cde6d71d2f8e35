"""Checks of the witnesses: each is shown the newest head, and what it says is told."""

from contextlib import closing

from server.domain.audit import logs, witnessing
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources


def cosign(use: Resources) -> str:
    """Each witness of the settings cosigns the newest head now. Raises Wrong, DatabaseUnavailable, NoLog."""
    named = use.settings.witnesses
    if not named:
        return "none: nobody outside would notice a log that is shown differently to different people"
    with closing(use.as_sealer()) as sealing:  # the web's role stores no cosignature
        for witness in named:
            witnessing.ask(sealing, witness, at_once=True)
        with sealing.database.reading() as session:
            seen = witnessing.seen(session, sealing, logs.current(session))
    wrong = [f"{one.name}: {one.fault}" for one in seen if one.fault is not None]
    if wrong:
        raise Wrong(*wrong)
    return f"{', '.join(one.name for one in seen)} cosigned the log"
