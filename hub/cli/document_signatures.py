"""What the hub found out about a document's own signatures, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hub.cli.console import local_time, shown
from hub.cli.messages import N_, _
from hub.client.answers import DocumentSignature

_OUTCOMES = {
    "valid": N_("valid"),
    "invalid": N_("NOT VALID"),
    "unknown": N_("cannot be told"),
}
_SIGNERS = {
    "person": N_("a person"),
    "agency": N_("an agency"),
    "unknown": N_("somebody"),
}
_REASONS = {
    "": N_("nothing speaks against it"),
    "no-list": N_("no revocation list of the issuer is known"),
    "changed": N_("the content was changed after it was signed"),
    "broken": N_("the signature does not fit the certificate"),
    "weak": N_("it uses a weak algorithm"),
    "not-whole": N_("it does not cover the whole file"),
    "revoked": N_("the certificate was revoked"),
    "revoked-later": N_("the certificate was revoked since, and nothing proves the time"),
    "untrusted": N_("the certificate leads to no trusted authority"),
    "ended": N_("the certificate had ended"),
    "not-yet-valid": N_("the certificate was not valid yet"),
    "encrypted": N_("the file is encrypted"),
    "unreadable": N_("the file or the signature cannot be read"),
    "external": N_("it refers to something outside the package"),
    "not-standard": N_("it is not made as the standard says"),
    "no-certificate": N_("it brings no certificate along"),
    "several-signers": N_("several signed at once in one file"),
    "too-many": N_("there are too many signatures or certificates"),
    "too-large": N_("the file is too large to be examined"),
    "overtime": N_("the examination took too long"),
    "lost": N_("the content is lost"),
}


_STAMP_REASONS = {
    "": N_("a trusted authority vouches for it"),
    "other-bytes": N_("it is over something else"),
    "broken": N_("it does not fit its certificate"),
    "weak": N_("it uses a weak algorithm"),
    "usage": N_("its certificate is not made for time-stamping"),
    "untrusted": N_("its authority is not trusted"),
    "ended": N_("its authority had ended before anything proves that it existed"),
    "later": N_("it is of after the arrival"),
    "revoked": N_("its authority was revoked"),
    "unreadable": N_("it cannot be read"),
}


def outcome_in_words(record: Mapping[str, Any]) -> str:
    """What became of a signature, as an event has it."""
    said = str(record.get("outcome"))
    return _(_OUTCOMES.get(said, _OUTCOMES["unknown"]))


def signature_in_words(signature: DocumentSignature) -> str:
    """One signature: over which file, by whom, when, and whether it holds."""
    names = [each for each in (signature.name, signature.organisation) if each]
    if signature.issuer and signature.issuer not in names:
        names.append(_("certificate of {issuer}", issuer=signature.issuer))
    who = _(_SIGNERS.get(signature.signer, _SIGNERS["unknown"]))
    if names:
        who = f"{who} ({shown(', '.join(dict.fromkeys(names)))})"
    words = {
        "number": signature.attachment + 1,
        "who": who,
        "time": local_time(signature.signed_at) if signature.signed_at else "?",
        "outcome": _(_OUTCOMES.get(signature.outcome, _OUTCOMES["unknown"])),
        "reason": _(_REASONS[signature.reason])
        if signature.reason in _REASONS
        else shown(signature.reason),
    }
    if signature.status:
        said = _(
            "Signature on the status {code} of {agency} from the axis by {who}, at {time} by its"
            " own word: {outcome}, {reason}.",
            code=shown(signature.status),
            agency=shown(signature.agency),
            **words,
        )
    elif signature.form != "xml":
        said = _(
            "Signature on file {number} by {who}, at {time} by its own word: {outcome}, {reason}.",
            **words,
        )
    elif signature.signed_at is None:
        said = _("Signature on the package from the axis by {who}: {outcome}, {reason}.", **words)
    else:
        said = _(
            "Signature on the package from the axis by {who}, at {time} by its own word: {outcome},"
            " {reason}.",
            **words,
        )
    return " ".join([said, *_stamp_in_words(signature)])


def _stamp_in_words(signature: DocumentSignature) -> Iterator[str]:
    """What became of the timestamp over it, and by which time it was judged."""
    words = {
        "who": shown(signature.stamp_authority) or _("an authority"),
        "time": local_time(signature.stamped_at) if signature.stamped_at else "?",
        "outcome": _(_OUTCOMES.get(signature.stamp, _OUTCOMES["unknown"])),
        "reason": _(_STAMP_REASONS[signature.stamp_reason])
        if signature.stamp_reason in _STAMP_REASONS
        else shown(signature.stamp_reason),
    }
    if not signature.stamp:
        pass
    elif signature.stamp_over == "document":
        yield _("A timestamp of {who} over the file says {time}: {outcome}, {reason}.", **words)
    else:
        yield _("Its timestamp of {who} says {time}: {outcome}, {reason}.", **words)
    if signature.judged_by == "stamp":
        yield _("It was judged as of the timestamp.")
    else:
        yield _("It was judged as of its arrival.")


def signature_as_json(signature: DocumentSignature) -> dict[str, Any]:
    """The same for programs."""
    return {
        "attachment": signature.attachment,
        "form": signature.form,
        "outcome": signature.outcome,
        "reason": signature.reason,
        "signer": signature.signer,
        "signed_at": signature.signed_at and signature.signed_at.isoformat(),
        "name": signature.name,
        "organisation": signature.organisation,
        "issuer": signature.issuer,
        "stamp": signature.stamp or None,
        "stamped_at": signature.stamped_at and signature.stamped_at.isoformat(),
        "stamp_over": signature.stamp_over or None,
        "stamp_reason": signature.stamp_reason,
        "stamp_authority": signature.stamp_authority,
        "judged_by": signature.judged_by,
        "judged_at": signature.judged_at and signature.judged_at.isoformat(),
        "agency": signature.agency or None,
        "status": signature.status or None,
        "position": signature.position,
    }
