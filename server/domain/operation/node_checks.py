"""Checks of nodes: all machines of this instance run with what is here."""

from server.domain.operation import bootstrap, nodes
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.settings import FILE_NAME


def agree(use: Resources) -> str:
    """Whoever runs for this instance runs with the settings and keys that are here."""
    if not bootstrap.has_begun(use):
        raise Wrong("not compared: there is no log yet")
    with use.database.reading() as session:
        found = nodes.seen(session, use)
    if wrong := [_unlike(node) for node in found if node.differs]:
        raise Wrong(*wrong)
    if not found:
        return f"no web server, worker or publisher was seen in the last {nodes.LIVES_FOR.seconds // 60} minutes"
    counted = [f"{sum(node.process == name for node in found)} {name}" for name in ("web", "worker", "publisher")]
    where = len({node.machine for node in found})
    return f"{', '.join(counted)} on {where} machine{'' if where == 1 else 's'}, with the settings and keys of this one"


def _unlike(node: nodes.Seen) -> str:
    names = ", ".join(node.differs)
    if node.is_here:
        return f"{node.process} here was started with another {names}: restart it"
    if node.differs == (nodes.CODE,):
        return f"{node.process} on {node.machine} runs other code than this machine: update one of them"
    return (
        f"{node.process} on {node.machine} has another {names} than this machine: make {FILE_NAME} and the key files "
        "alike on all machines, and restart"
    )
