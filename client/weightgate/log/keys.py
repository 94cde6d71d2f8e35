"""Keys: those of a log and of its receipts; given, remembered from the first use, or shown by the server."""

from dataclasses import dataclass

from weightgate.log import note
from weightgate.log.encoding import load_json_object
from weightgate.log.note import VerifierKey
from weightgate.verdicts import CannotTell, Malformed, Refuted, WrongUse

SIZE_BYTES_AT_MOST = 64 * 1024
_GIVE_THEM = "Ask the lab for the keys, and pass them with --log-vkey and --receipt-vkey."


@dataclass(frozen=True, slots=True)
class Keys:
    """What is known; None where nothing is."""

    log: VerifierKey | None = None
    receipt: VerifierKey | None = None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both keys of one log."""

    log: VerifierKey
    receipt: VerifierKey


def given(log_vkey: str | None, receipt_vkey: str | None) -> Keys:
    """The keys of the options. Raises WrongUse, naming the option."""
    return Keys(_option("--log-vkey", log_vkey), _option("--receipt-vkey", receipt_vkey))


def shown(body: bytes) -> Keys:
    """The keys in an answer of `GET /api/v1/keys`; none when it has none."""
    try:
        fields = load_json_object(body)
        log_vkey, receipt_vkey = fields.get("log_vkey"), fields.get("receipt_vkey")
        if not isinstance(log_vkey, str) or not isinstance(receipt_vkey, str):
            return Keys()
        return Keys(note.parse_vkey(log_vkey), note.parse_vkey(receipt_vkey))
    except Malformed as error:
        # An address that answers like this is more likely no Weightgate at all than one that lies.
        raise CannotTell("malformed_keys", f"The server's keys are malformed: {error}.", "Check --endpoint.") from None


def agree(known: Keys, others: Keys, origin: str, *, others_are: str) -> Keys:
    """What both know together. Raises Refuted where they contradict each other: one of the two is an impostor."""
    for kind, mine, theirs in (("log", known.log, others.log), ("receipt", known.receipt, others.receipt)):
        if mine is not None and theirs is not None and mine != theirs:
            raise Refuted(
                "key_changed",
                f"The {kind} key that {others_are} for {origin} differs from the known one.",
                "Ask the lab which key is correct. Do not use this server to ask.",
            )
    return Keys(known.log or others.log, known.receipt or others.receipt)


def require_of(origin: str, keys: Keys) -> None:
    """Raise Refuted when a key that is known cannot be this log's."""
    if keys.log is not None and keys.log.name != origin:
        raise Refuted("other_log", f"The receipt is for the log {origin}, but the log key is for {keys.log.name}.")
    if keys.receipt is not None and keys.receipt.name == origin:
        raise Refuted(
            "one_key", "The receipt key has the same name as the log, so a head could be passed off as a receipt."
        )
    if keys.log is not None and keys.receipt is not None and keys.log.public == keys.receipt.public:
        raise Refuted("one_key", "Heads and receipts use the same key, so one could be passed off as the other.")


def require_both(origin: str, keys: Keys) -> KeyPair:
    """Raise CannotTell when a key is missing."""
    if keys.log is None or keys.receipt is None:
        raise CannotTell(
            "no_keys", f"The keys of the log {origin} are not known, and the server does not show them.", _GIVE_THEM
        )
    return KeyPair(keys.log, keys.receipt)


def _option(name: str, text: str | None) -> VerifierKey | None:
    if text is None:
        return None
    try:
        return note.parse_vkey(text)
    except Malformed as error:
        raise WrongUse(
            "bad_vkey", f"{name} is not a key: {error}.", "Copy it completely, in the form name+hash+key."
        ) from None
