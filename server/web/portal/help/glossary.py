"""Help: what the portal's words mean, where its guides are, and whom to ask."""

from typing import NamedTuple

from flask import Blueprint, Flask, Response, url_for
from markupsafe import Markup

from server.domain.callers import Caller
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.rendering import render

bp = Blueprint("help_glossary", __name__, url_prefix="/help")


class Term(NamedTuple):
    """A word of ours. Its name in lower case, with hyphens, is its anchor on the page."""

    name: str
    meaning: str

    @property
    def anchor(self) -> str:
        return self.name.lower().replace(" ", "-")


TERMS = (
    Term("Access request", "What an owner sends to request access to stages, and what for. An admin decides it. It has "
                           "nothing to do with a request ID."),
    Term("Agreement", "The legal text that an organization signs before it can download. Each version is known by the "
                      "SHA-256 of its text; a signature is for exactly one version."),
    Term("Alarm", "Something in the store’s access log that should not have happened, for example a file that was read "
                  "without a log entry."),
    Term("Anchor", "A copy of a head, kept outside the database where nobody can change it. It shows if an older "
                   "backup was restored, or if the log was rewritten."),
    Term("Checkpoint", "A signed set of files of one stage. Its ID is derived from its manifest, so it never changes. "
                       "The newest checkpoint of a stage is its main."),
    Term("Clearance", "An organization’s right to download a model at one tier, with a first and a last day. One admin "
                      "proposes it; from some tiers on, another one approves it."),
    Term("Commitment", "A hash of a salt and an entry’s text. The public log contains only commitments: they reveal "
                       "nothing, and anyone who has salt and text can recompute them."),
    Term("Decision", "What moves a stage, or lifts a hold: one admin proposes it and another approves it. It keeps "
                     "what it rested on. The public reason of a move is shown on the page of releases."),
    Term("Download", "One issue of signed URLs for files of one checkpoint. It is in the log before the URLs leave the "
                     "server. What was really fetched is counted later."),
    Term("Embargo", "The day before which nobody but its reporter’s organization and the lab may read a finding."),
    Term("Finding", "What a partner reports about a stage: what it can do, what can be done with it, or that nothing "
                    "was found. Decisions rest on findings."),
    Term("Head", "The size and the root of the log at one moment, signed by the log’s key. A head covers every entry "
                 "before it: none of them can change without the root changing too."),
    Term("Heartbeat", "An entry that the server writes each minute, so that a log that stopped is noticed."),
    Term("Hold", "Stops all downloads of a stage, of a model, of everything or by an organization, for now. It does "
                 "not change the state of the stage."),
    Term("Identity provider", "An organization’s own sign-in service, with which its people can sign in here. Whose "
                              "account it is depends on the identity that is linked, never on an email address."),
    Term("Leaf", "The hash of a commitment, and an entry’s place in the tree. Receipts promise leaves."),
    Term("Log", "The append-only list of every download and of every action that affects access. Nobody can change or "
                "remove an entry without it showing."),
    Term("Place", "An entry’s number in its log, from 0. An entry has one as soon as it is sealed."),
    Term("Proof", "The hashes that lead from an entry’s leaf to the root in a signed head. It shows that the entry is "
                  "in the log, and can be verified offline."),
    Term("Receipt", "The signed promise that you get with each download: this leaf will be in the log within a minute. "
                    "With it you can prove a download that the log does not show."),
    Term("Release ladder", "The stages of a model in the order of their release, from small to large, each with its "
                           "state and, where the lab has decided, the months in which its next step is planned."),
    Term("Renewal", "A request for the same access for as long again. It is decided like any other request. Some tiers "
                    "take a report first: what you found, or that you found nothing."),
    Term("Request ID", "The 16 characters at the foot of each page and in each error. Quote it when you ask for help: "
                       "it leads us to what happened. It has nothing to do with an access request."),
    Term("Sealed", "An entry is sealed when it has its place in the tree and a signed head covers it, usually within a "
                   "second."),
    Term("Severity", "How bad a finding is: none, low, medium, high or critical. A critical one stops every release of "
                     "its model until the lab has settled it."),
    Term("Stage", "One step of a model’s release, for example gpt-2/774M. It is planned, open to partners, public, or "
                  "withdrawn."),
    Term("Tier", "A named rank of access. Each stage requires one, and a clearance gives one: the same tier or a "
                 "higher one opens the stage."),
    Term("Time to sign again", "The days that the lab leaves organizations to sign an agreement’s new version. Until "
                               "they are over, a signature of the version before it still counts."),
    Term("Token", "What programs sign in with. It is shown once, has a last day, and can be revoked."),
    Term("Trust record", "What an owner creates so that a pipeline or a cluster can sign in with its own identity "
                         "token: its issuer, its audience and exact claims. It can be revoked."),
)  # fmt: skip
_BY_ANCHOR = {term.anchor: term for term in TERMS}


def register(app: Flask) -> None:
    """Let templates link a word to what it means."""
    app.jinja_env.globals["term"] = link


def link(anchor: str, words: str = "") -> Markup:
    """A link to a term, under its own name or other words. Another name is a mistake and stops the page."""
    term = _BY_ANCHOR[anchor]
    address = url_for("help_glossary.show", _anchor=term.anchor)
    return Markup('<a class="term" href="{}">{}</a>').format(address, words or term.name.lower())


@bp.get("")
@public_page
def show(caller: Caller) -> Response:  # noqa: ARG001  # a page for everybody
    """Every term, and what else there is to read."""
    return render("help/glossary/show.html", terms=TERMS)
