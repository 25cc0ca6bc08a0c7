"""The words of edXML as the vendor's library spells them, its own mistakes included."""

from __future__ import annotations

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
PREFIX = "edXML"

ROOT = "edXML"
ENVELOPE = "edXMLEnvelope"
HEADER = "edXMLHeader"
MESSAGE_HEADER = "MessageHeader"
TRACE_HEADER_LIST = "TraceHeaderList"
SIGNATURE = "Signature"
BODY = "edXMLBody"
MANIFEST = "edXMLManifest"
REFERENCE = "Reference"
ATTACHMENTS = "AttachmentEncoded"
ATTACHMENT = "Attachment"
CONTENT = "ContentTransferEncoded"

# QCVN 102 before 2016 travelled in a SOAP envelope; some exporters still write it.
OLD_ENVELOPE, OLD_HEADER, OLD_BODY = "Envelope", "Header", "Body"

# The spelling of a second vendor, and the parser's own second name for the manifest.
ALIASES = {
    "Manifest": MANIFEST,
    "Business": "Bussiness",
    "BusinessDocType": "BussinessDocType",
    "BusinessDocReason": "BussinessDocReason",
    "BusinessDocumentInfo": "BussinessDocumentInfo",
    "TypographyNumber": "TyperNotation",
}

CONTENT_ID_SCHEME = "cid:"
ZIP_TYPE = "application/zip"

# The vendor's library sends these as they are and zips everything else. "xsl" and "xslx" are
# its misspelling of xls and xlsx, which are therefore zipped.
RAW_EXTENSIONS = frozenset({"pdf", "doc", "docx", "xsl", "xslx", "zip"})

# BussinessDocType: what a document package does.
NEW, RECALL, UPDATE, REPLACE = "0", "1", "2", "3"

# StatusCode. All are said by a recipient but 13, which the sender says.
ARRIVED, REFUSED, ACCEPTED, ASSIGNED, PROCESSING, FINISHED = "01", "02", "03", "04", "05", "06"
RECALL_ASKED, RECALL_AGREED, RECALL_REFUSED = "13", "15", "16"
STATUS_CODES = (
    ARRIVED, REFUSED, ACCEPTED, ASSIGNED, PROCESSING, FINISHED,
    RECALL_ASKED, RECALL_AGREED, RECALL_REFUSED,
)  # fmt: skip

DATE_FORMAT = "%Y/%m/%d"
TIMESTAMP_FORMAT = "%Y/%m/%d %H:%M:%S"
