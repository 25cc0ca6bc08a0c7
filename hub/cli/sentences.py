"""Sentences of the parts below, recognised and said in the reader's language.

Proofs and ledger speak English: they stand alone, without this command. What they say most
often is known here as templates; anything else is passed on as it is, in English.
"""

from __future__ import annotations

import re
from functools import cache

from hub.cli.messages import N_, Language, _, language

# A test runs the real examinations and holds the findings' templates to what they say.
FINDINGS = (
    N_("The file is a well-formed receipt file."),
    N_(
        "A log key of the trusted root signed the checkpoint of {origin} at size {size}, "
        "cosigned by no known witness; the policy asks for no more."
    ),
    N_(
        "A log key of the trusted root signed the checkpoint of {origin} at size {size}, "
        "cosigned by {witnesses}; the policy asks for no more."
    ),
    N_(
        "A log key of the trusted root signed the checkpoint of {origin} at size {size}, "
        "cosigned by no known witness."
    ),
    N_(
        "A log key of the trusted root signed the checkpoint of {origin} at size {size}, "
        "cosigned by {witnesses}."
    ),
    N_(
        "The cosignature of {witness} does not count: it is of {time} UTC, when that witness was "
        "not trusted yet."
    ),
    N_(
        "The cosignature of {witness} does not count: it is of {time} UTC, when that witness was "
        "no longer trusted."
    ),
    N_("The leaf stands at position {position} of this log."),
    N_(
        "The leaf is the event {topic}; by the hub's own clock it is of {time}. It puts the "
        "signature recorded at position {position} in doubt: its key is revoked from {effective} "
        "on."
    ),
    N_("The leaf is the event {topic}; by the hub's own clock it is of {time}."),
    N_("The hub recorded this very statement, with this key id and signature."),
    N_(
        "The hub recorded this very statement, with this key id and signature; whether the "
        "signature is good, the file does not let one check."
    ),
    N_(
        "The certificate was enrolled for signing for the agency the statement names, at "
        "position {position} (checkpoint of size {size})."
    ),
    N_("The {algorithm} signature on the statement holds."),
    N_("The certificate's chain to a trusted authority was not checked."),
    N_("Whether its issuer had revoked the certificate was not checked."),
    N_(
        "Whether its issuer had revoked the certificate was not checked: nothing from that time is "
        "in the file."
    ),
    N_(
        "The certificate led to an authority of the trusted root, and was in force, at the time "
        "that the hub states."
    ),
    N_("Its issuer had not revoked the certificate at the time the hub states."),
    N_("The trusted root lists no authority for signing certificates."),
    N_(
        "Whether the log revoked the key between positions {first} and {last} was not checked: "
        "no log was read."
    ),
    N_(
        "Whether the log revoked the key between positions {first} and {last} could not be read: "
        "{why}."
    ),
    N_(
        "The log did not revoke the key between positions {first} and {last}: every entry between "
        "was read."
    ),
    N_(
        "The event at position {position} names the key and is of a kind that this version does "
        "not know."
    ),
    N_("What was signed at size {sizes} lies on the log read."),
    N_("The log could not be read: {why}."),
    N_("A timestamp is there, but was not checked."),
    N_("Checkpoint of size {size}: {finding}"),
    N_("The file is a well-formed bundle; its SHA-256 is {digest}."),
    N_(
        "Log keys of the trusted root signed the checkpoints of {origins}: {count} in all, of "
        "size {first} to {last}, none cosigned by a known witness."
    ),
    N_(
        "Log keys of the trusted root signed the checkpoints of {origins}: {count} in all, of "
        "size {first} to {last}, the one of size {size} cosigned by {witnesses}."
    ),
    N_("Everything stands in one tree, of size {size}."),
    N_("The {count} trees are one that grew: consistency proofs lead from each to the next."),
    N_("That the {count} trees are one that grew, the file does not let one check."),
    N_("The checkpoint of size {size} meets the policy, and covers all facts."),
    N_(
        "The checkpoint of size {size} meets the policy, but was not shown to be of one tree with "
        "the others."
    ),
    N_("Position {position}: the event {topic} stands in the log."),
    N_("Position {position}: by the hub's own clock it is of {time}."),
    N_(
        "Position {position}: what was signed is not in the file; it was withheld from whoever "
        "made it, or erased."
    ),
    N_(
        "Position {position}: the event records this very statement of {agency}: the document, to "
        "{count} recipients."
    ),
    N_(
        "Position {position}: the event records this very statement of {agency}: it takes delivery."
    ),
    N_("Position {position}: the event records this very statement of {agency}: status {code}."),
    N_("Position {position}: the event records this very statement of {agency}: recall 13."),
    N_(
        "Position {position}: the event records this very statement of {agency}: answer {code} to "
        "the recall."
    ),
    N_("Position {position}: the enrolment at position {enrolment} is not in the file."),
    N_(
        "Position {position}: its {algorithm} signature holds, by the key that was enrolled for "
        "{agency} at position {enrolment}."
    ),
    N_("All facts are about one document of {agency}, whose envelope has the digest {digest}."),
    N_("That nothing else happened to the document is the hub's word."),
    N_(
        "The sender signed size and SHA-256 of {count} attachments; their content was not looked "
        "at."
    ),
    N_(
        "The sender is not proven: the document came over the national axis, and nobody signed "
        "this envelope."
    ),
    N_("The hub recorded this very envelope, which it made itself."),
    N_("Position {position}: the event records this very envelope."),
    N_(
        "Position {position}: the sender is not proven: the document came over the national axis, "
        "and nobody signed this envelope."
    ),
    N_(
        "The hub recorded size and SHA-256 of {count} attachments; their content was not looked at."
    ),
    N_("The {count} attachments beside it are those the hub recorded."),
    N_("Attachments that are not there: {which}."),
    N_("The {count} attachments beside it are those the sender signed."),
    N_("Enrolment at position {position}: {finding}"),
    N_("Position {position}: the log stored what the issuer said of revocation."),
    N_(
        "The log records {count} events about itself and its keys, the last at position {position}."
    ),
    N_("The {count} trees behind these files are one that grew."),
    N_(
        "That the {count} trees behind these files are one that grew is the hub's word; what the "
        "files hold proves it of {proven}. Nothing contradicts it."
    ),
)

REFUTATIONS = (
    N_("The file cannot be read: {why}."),
    N_("there is no *{receipts} or *{bundles} below this folder"),
    N_("the bundle is damaged: its digest is another"),
    N_("{what} is not in canonical form"),
    N_("the receipt file is not written in the one form such files have"),
    N_("the log signed two trees of size {size}"),
    N_("the log signed two histories: another file shows another tree of size {size}: {file}"),
    N_("the new tree does not begin with the old one"),
    N_(
        "the log that was read has another tree of size {size} than the one that was signed: one "
        "of them was rewritten"
    ),
    N_("the log that was read ends at size {size}, before this checkpoint"),
    N_("the log that was read ends at size {size}"),
    N_("the log revoked the key at position {position}, before it was relied on"),
    N_("no checkpoint that covers all facts meets the policy"),
    N_("attachment {number} is not the one that the sender signed"),
    N_("attachment {number} is not the one that the hub recorded"),
    N_("the file does not hold the one submission"),
    N_("position {position}: {failure}"),
    N_("it is not a regular file"),
    N_("the receipt file is not of type {type}"),
    N_("the receipt file is larger than {size} bytes"),
    N_("no log key of the trusted root signed the checkpoint"),
    N_("the checkpoint is of a log that the trusted root does not list"),
    N_(
        "the certificate led to an authority of the trusted root that was not trusted yet at the "
        "time that the hub states"
    ),
    N_(
        "the certificate led to an authority of the trusted root that was no longer trusted at the "
        "time that the hub states"
    ),
    N_("no log of the policy signed the checkpoint"),
    N_(
        "the policy's quorum of witnesses is not reached: the checkpoint was cosigned by none of "
        "them, and when it did not count by {outside}"
    ),
    N_(
        "the policy's quorum of witnesses is not reached: the checkpoint was cosigned by "
        "{witnesses}, and when it did not count by {outside}"
    ),
    N_(
        "the policy's quorum of witnesses is not reached: the checkpoint was cosigned by none of "
        "them"
    ),
    N_(
        "the policy's quorum of witnesses is not reached: the checkpoint was cosigned by "
        "{witnesses}"
    ),
    N_("the proof does not lead from the leaf to the root"),
    N_("the leaf does not lead to the root"),
    N_("the index lies outside the tree"),
    N_("a signature of {name} does not fit the note"),
    N_("the event records another {name} than the statement's"),
    N_("the event relied on another enrolment than this one"),
    N_("the enrolment stands in another log than the event"),
    N_("the statement was made for another hub"),
    N_("the certificate was enrolled for another agency"),
    N_("another certificate was enrolled"),
    N_("the signature does not fit the statement and the enrolled key"),
)

TIMESTAMPS = (
    N_("By the clock of the time-stamping authority {authority} the checkpoint existed on {time}."),
    N_("{authority} renewed that timestamp on {time}, in time."),
    N_("The certificate behind the newest of these timestamps is in force until {time}."),
    N_(
        "the certificate behind the newest timestamp ended on {time} and no later renewal is "
        "here, so nothing tells whether its key was misused since"
    ),
    N_("the trusted root does not list the time-stamping authority that is named"),
    N_("the time-stamping authority {authority} was not trusted yet at that time"),
    N_("the time-stamping authority {authority} was no longer trusted then"),
    N_("the token cannot be read"),
    N_("the token is over something else"),
    N_("the token answers another request"),
    N_("the token is under another policy"),
    N_("the token is signed with a weak algorithm"),
    N_("the token's signature does not hold"),
    N_("the certificate is not made for time-stamping and nothing else"),
    N_("no chain leads from the certificate to a trusted authority"),
    N_("a certificate of the chain was not in force at that time"),
    N_("a certificate of the chain was revoked at {time}"),
    N_("no CRL or OCSP answer of that time tells whether the chain was revoked"),
    N_("the renewal is of another timestamp"),
    N_("the renewal was not made while the renewed timestamp was in force"),
    N_("the answer cannot be read"),
    N_("the authority answered {status}"),
    N_("the authority's clock and the hub's differ by {seconds} s"),
    N_("no answer within {seconds} s"),
    N_("no connection: {kind}"),
    N_("HTTP status {status}"),
    N_("the answer is no timestamp reply"),
    N_("an answer of more than {size} bytes"),
    N_(
        "no time-stamping authority has a certificate that outlasts the timestamps that are about "
        "to end; configure one"
    ),
)

LEDGER = (
    N_(
        "event {position} was changed: its bytes do not hash to the leaf that was signed (or "
        "the stored hash was changed)"
    ),
    N_(
        "event {position} is not the one that was recorded: its bytes no longer hash to the "
        "leaf in the tree (or the stored leaf hash was changed)"
    ),
    N_("event {position} is missing, the head counts {total}"),
    N_("event {position} is missing"),
    N_("event {position} is missing: the log ends before its checkpoint of size {size}"),
    N_("event {position} is missing: the log's head counts {total}"),
    N_("event {position} stands beyond the head"),
    N_("event {position} stands beyond the log's head, which counts {total}"),
    N_("event {position} cannot be read: {error}"),
    N_("a checkpoint of size {size} covers events that are missing"),
    N_("tile {tile} is not what the events make it"),
    N_("tile {tile} is missing"),
    N_("tile {tile} differs from the events below it, from {position} on"),
    N_("the checkpoint of size {size} is not signed by the log: {error}"),
    N_("the checkpoint of size {size} is not ours: {error}"),
    N_("the checkpoint stored for size {size} is another's"),
    N_(
        "the events do not hash to the root that was signed at size {size}: one of them was "
        "changed, removed, reordered or slipped in"
    ),
    N_(
        "events and tiles agree, but not with the signed root of size {size}: what was signed "
        "still holds up to event {sound}"
    ),
    N_("the checkpoint of size {size} was published and is missing"),
    N_("its request row is missing or says something else"),
    N_("it is hidden from the register, or slipped into it"),
    N_("the columns beside its bytes say something else"),
    N_("it is version {version} of its aggregate, {expected} was due"),
    N_("it is older than the event before it"),
    N_("its statement is signed with a key that was revoked before"),
    N_("its payload is missing"),
    N_("its payload cannot be opened: {error}"),
    N_("its payload does not hash to the digest it names"),
    N_("the inbox number for {agency} is not the next one"),
    N_("the outbox number for {agency} is not the next one"),
    N_("the inbox counter of {agency} is not {number}, as the events say"),
    N_("the outbox counter of {agency} is not {number}, as the events say"),
    N_("the content of attachment {index} cannot be read: {error}"),
    N_("the content of attachment {index} does not hash to what was accepted"),
    N_("its certificate is missing from the evidence store, or another lies there"),
    N_("a cosignature of the checkpoint of size {size} does not hold"),
    N_("its evidence {digest} is missing, or something else lies there"),
    N_("its timestamp is not over the checkpoint of size {size}"),
    N_("there are {count} request rows more than events that made them"),
    N_("the events do not hash to the root of the newest checkpoint"),
    N_("the newest checkpoint is not signed by the log: {error}"),
    N_("the views hold {position} events, but only {covered} are signed"),
    N_("the lists differ from a rebuild at exchange {exchange}"),
    N_("the lists are ahead of the log"),
    N_("the signer remembers nothing that an export could be compared with"),
    N_("the export holds {count} events, the signer has signed {size}: take a newer export"),
    N_(
        "the export is not of the tree that was signed at size {size}: keep it, it is signed and "
        "of another history"
    ),
    N_(
        "the signer remembers size {size}, but the export holds {count} signed events: its memory "
        "was restored from an older copy"
    ),
    N_(
        "the database holds {count} events, the export only {size}: there is nothing to restore "
        "from it"
    ),
    N_(
        "event {position} in the database is not the one in the export: put the damaged database "
        "away and restore into a new one"
    ),
    N_("the certificate {digest} is missing from the evidence store, or another lies there"),
    N_("the signer remembers nothing: its memory was lost"),
    N_("the signer remembers nothing, but the log holds {count} events: its memory was lost"),
    N_(
        "the signer remembers size {size}, but size {published} is published: its memory was "
        "restored from an older copy"
    ),
    N_(
        "the signer has signed {size} events, fewer are stored: the database was restored from "
        "an older copy or lost its end"
    ),
    N_(
        "the signer has signed {size} events, the database holds {count}: it was restored from "
        "an older copy or lost its end"
    ),
    N_("the events do not hash to the root {root} signed at size {size}"),
    N_("the events do not hash to what the signer signed at size {size}"),
    N_("stored content was changed or cut off on the hub's disk"),
    N_("the key of this document is no longer in the hub's store"),
    N_("more differs than is named here"),
    N_("entry {position} was changed: its bytes do not hash to the leaf that was signed"),
    N_("tile {tile} is not the one that the signed root stands on"),
    N_("tile {tile} does not hold {count} hashes"),
    N_("the tiles at its edge do not make the signed root"),
    N_("an entry bundle does not hold exactly {count} entries"),
    N_("the file {file} is missing"),
    N_("there is no checkpoint: this is no log"),
    N_("the log shows {shown} entries, but it has signed {kept} before"),
    N_("another export is writing to this folder"),
    N_("the folder holds other things than an export of a log"),
    N_("the folder holds the log {theirs}, not {ours}"),
    N_("the checkpoint in the folder is not of this log: {error}"),
    N_(
        "the folder holds {theirs} events, the hub's log only {ours}: the first that the hub has "
        "lost is {position}"
    ),
    N_("event {position} in the folder is not the hub's: {file} differs from there on"),
    N_("the folder's {file} is not what the hub's events make it"),
    # Last: whatever else is said about an event.
    N_("event {position}: {what}"),
)

HUB = (
    N_("there is no hub in {folder}; make one with `{command}`"),
    N_(
        "the database has another schema than this version; if it is older, run `{command}`, if "
        "it is newer, the version that made it"
    ),
    N_("the database {file} is missing; put it back"),
    N_("the keys of documents, {file}, are missing"),
    N_("documents in the log have attachments, but nothing of them is in {folder}"),
    N_("the database was made by a newer version; run that one"),
    N_("another process is using {folder}; stop it first"),
    N_("{folder} is not empty; a hub is made in a new folder"),
    N_("{folder} is not empty; a witness is made in a new folder"),
    N_("{folder} holds no witness ({error}); make one with `{command}`"),
    N_("another client works with {folder}"),
    N_("no answer in {attempts} attempts; the last one: {error}"),
    N_("{file} cannot be read: {error}"),
    N_("{file} is not TOML: {error}"),
    N_("{file} has unknown keys: {keys}"),
    N_("{file} lacks {keys}"),
    N_("{file} is the profile of {agency}"),
    N_("an operator"),
    N_("not registered at this hub: {codes}"),
    N_("only a recipient can say this, or its successor with the recipient in for_agency"),
    N_("only what is parked, or waits for another attempt, can go on"),
    N_("only a package from the axis that is parked can be erased so"),
    N_("what is stored of this package has another digest"),
    N_("the axis gave no usable answer ({reason}); try again later"),
    N_("only the sender can recall a document"),
    N_("no such exchange among those this agency takes part in"),
    N_("no such position in the log"),
    N_("this document was recalled already; watch its answers"),
    N_("there is no open recall of this document to answer"),
    N_("the document expired before it was collected"),
    N_("the sender has recalled this document; answer the recall with 15 or 16"),
    N_("this agency agreed to the recall of the document"),
    N_("too many commands are waiting; come back later"),
    N_("too many of this caller's commands are waiting; come back later"),
    N_("this caller sends faster than it may; come back later"),
    N_("{field}: a refusal needs its reason in words"),
    N_("no agency with the code {code}; register it first"),
    N_("no agency with the code {code}"),
    N_("{code} is another code of {agency}; name it by its primary code"),
    N_("{agency} is suspended: it reads and answers, but does not send"),
    N_("suspended, so nothing can be sent to them: {codes}"),
    N_("{agency} is suspended already"),
    N_("{agency} is not suspended"),
    N_("{agency} was succeeded by {successor}, which sends in its place"),
    N_("{agency} was succeeded by {successor}"),
    N_("an agency cannot succeed itself"),
    N_("the hub keeps no group called {group}"),
    N_("the code {code} is registered already"),
    N_("a document's content may have at most {size} bytes"),
    N_("{name}: a document's content may have at most {size} bytes"),
    N_("the certificate was not issued by a trust anchor of this hub"),
    N_("the certificate is not made for {purpose}"),
    N_("this is no X.509 certificate in DER"),
    N_("the certificate's validity has ended"),
    N_("the certificate's validity has not begun"),
    N_("this key is enrolled already, for {owner}; make a new key for each purpose"),
)

USAGE = (
    N_("Missing command."),
    N_("Missing argument '{name}'."),
    N_("Missing option '{name}'."),
    N_("Missing option '{name}' (env var: '{variable}')."),
    N_("No such command '{name}'."),
    N_("No such command '{name}'. Did you mean '{other}'?"),
    N_("No such option: {name}"),
    N_("No such option: {name} (Possible options: {others})"),
    N_("No such option: {name} Did you mean {other}?"),
    N_("Option '{name}' requires an argument."),
    N_("Got unexpected extra argument(s) ({words})"),
    N_("Invalid value for '{name}': {why}"),
    N_("Invalid value: {why}"),
    N_("Value error, {why}"),
    N_("'{value}' is not one of {values}."),
    N_("file '{file}' does not exist."),
    N_("file '{file}' is a directory."),
    N_("dir '{file}' is a file."),
    N_("'{value}' does not match the formats {formats}."),
    N_("Input should be a valid integer, unable to parse string as an integer"),
    N_("Input should be greater than or equal to {number}"),
)

# What stands between a hub and a signer of its own; a test holds them to what is said.
SIGNER = (
    N_("the checkpoint of size {size} is not what the signer was asked for"),
    N_("the signer on {place}: {why}"),
    N_("no answer in time"),
    N_("it hung up in the middle of an answer"),
    N_("its certificate is not one that is accepted here"),
    N_("its certificate has ended, or has not begun"),
    N_("to it, this hub's certificate has ended"),
    N_("it does not accept this hub's certificate"),
    N_("this hub's certificate has ended on {day}"),
    N_("this hub's certificate begins only on {day}"),
    N_("the signer's own certificate has ended on {day}"),
    N_("the signer is that of {other}, not {origin}"),
    N_("{folder}: accepts nobody; `{command}` lets somebody in"),
    N_("{folder}: has no such certificate; `{command}` makes one"),
    N_("{file}: holds not exactly one certificate in PEM"),
    N_("{file}: is not the key of the certificate beside it"),
    N_("no certificate waits; `{command}` makes one"),
    N_("the certificate has ended on {day}"),
    N_("this is not the certificate of a hub"),
    N_("this is not the certificate of a signer"),
    N_("{count} certificates are accepted; forget one first"),
    N_("name exactly one accepted certificate by at least {count} digits"),
    N_("a name has 1 to {count} characters"),
)

_KNOWN = (*FINDINGS, *REFUTATIONS, *TIMESTAMPS, *LEDGER, *HUB, *SIGNER, *USAGE)


def in_words(text: str) -> str:
    """The text in the reader's language, as far as it is known."""
    if language() is Language.EN:
        return text
    if (words := _in_words(text)) is not None:
        return words
    # Behind "Enrolment at position 3: " a sentence begins small.
    words = _in_words(f"{text[:1].upper()}{text[1:]}")
    return text if words is None else f"{words[:1].lower()}{words[1:]}"


def _in_words(text: str) -> str | None:
    for spoken, ending in ((text, ""), (_without_sentence_form(text), ".")):
        if spoken and (words := _translated(spoken)) is not None:
            return words if not ending else f"{words[:1].upper()}{words[1:]}{ending}"
    return None


def _translated(text: str) -> str | None:
    for prefix, template in _by_prefix():
        # Most are told apart by how they begin, which spares the search in a large report.
        if text.startswith(prefix) and (match := _pattern(template).fullmatch(text)):
            # What fills a template may itself be a sentence: "cannot be read: …".
            values = {name: in_words(value) for name, value in match.groupdict().items()}
            return _(template, **values) if values else _(template)
    return None


def _without_sentence_form(text: str) -> str:
    """The bare message in a sentence that was made of one, or nothing."""
    return f"{text[0].lower()}{text[1:-1]}" if text[:1].isupper() and text.endswith(".") else ""


@cache
def _by_prefix() -> list[tuple[str, str]]:
    return [(template.partition("{")[0], template) for template in _KNOWN]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    escaped = (f"(?P<{part}>.+?)" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    return re.compile("".join(escaped), re.DOTALL)
