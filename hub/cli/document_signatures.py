"""What the hub found out about a document's own signatures, in words."""

from __future__ import annotations

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


def signature_in_words(signature: DocumentSignature) -> str:
    """One signature: over which file, by whom, when, and whether it holds."""
    names = [each for each in (signature.name, signature.organisation) if each]
    if signature.issuer and signature.issuer not in names:
        names.append(_("certificate of {issuer}", issuer=signature.issuer))
    who = _(_SIGNERS.get(signature.signer, _SIGNERS["unknown"]))
    if names:
        who = f"{who} ({shown(', '.join(dict.fromkeys(names)))})"
    if signature.form == "xml":
        return _(
            "Signature on the package from the axis by {who}: {outcome}, {reason}.",
            who=who,
            outcome=_(_OUTCOMES.get(signature.outcome, _OUTCOMES["unknown"])),
            reason=_(_REASONS.get(signature.reason, signature.reason)),
        )
    said = _(
        "Signature on file {number} by {who}, at {time} by its own word: {outcome}, {reason}.",
        number=signature.attachment + 1,
        who=who,
        time=local_time(signature.signed_at) if signature.signed_at else "?",
        outcome=_(_OUTCOMES.get(signature.outcome, _OUTCOMES["unknown"])),
        reason=_(_REASONS[signature.reason]) if signature.reason in _REASONS else signature.reason,
    )
    if not signature.stamp:
        return said
    stamp = _(
        "Its timestamp says {time}: {outcome}.",
        time=local_time(signature.stamped_at) if signature.stamped_at else "?",
        outcome=_(_OUTCOMES.get(signature.stamp, _OUTCOMES["unknown"])),
    )
    return f"{said} {stamp}"


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
        "position": signature.position,
    }
