"""Where attachments lie, as `content_url` says: in a folder, or in a bucket that speaks S3."""

from __future__ import annotations

import configparser
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from adapters.storage.content import ContentStore as FolderContentStore
from adapters.storage.events import EventRecorder
from adapters.storage.object_content import ObjectContentStore
from adapters.storage.objects import (
    Bucket,
    BucketPlace,
    BucketRemembers,
    Credentials,
    StoreAway,
)
from adapters.storage.uploads import UploadStore as FolderUploadStore
from adapters.storage.uploads import is_root, make_root
from adapters.system import system_randomness
from hub.application.mapper import read_leaf
from hub.application.ports import ContentStore, UploadStore
from hub.bootstrap.folder import ContentUnfit, ContentUnreachable, DataFolder, StoreMissing
from hub.config import ConfigInvalid, Settings
from hub.domain.exchange import OPENING_TOPICS
from keys.file import read_secret

_PAGE = 1000
_KEY, _SECRET, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@dataclass(frozen=True, slots=True)
class Contents:
    """The stores of attachments and of uploads; `root` is the folder the uploads lie in."""

    store: ContentStore
    uploads: UploadStore
    root: Path


@contextmanager
def open_content(
    folder: DataFolder, settings: Settings, *, shared: bool = False
) -> Iterator[Contents]:
    """The stores that the settings name; nothing is asked or made yet. Raises ConfigInvalid.

    `shared`: other hubs have the same uploads.

    What the block cannot do because of a bucket leaves it as ContentUnreachable or ContentUnfit.
    """
    root = content_root(folder, settings)
    if place := bucket_place(settings):
        bucket = Bucket(place, _credentials(folder, settings), timeout_s=settings.content_timeout_s)
        with (
            closing(ObjectContentStore(bucket, system_randomness)) as objects,
            closing(FolderUploadStore(root, objects, system_randomness, shared=shared)) as uploads,
            _told(place),
        ):
            yield Contents(objects, uploads, root)
        return
    files = FolderContentStore(root, system_randomness)
    with closing(FolderUploadStore(root, files, system_randomness, shared=shared)) as uploads:
        yield Contents(files, uploads, root)


@contextmanager
def _told(place: BucketPlace) -> Iterator[None]:
    try:
        yield
    except StoreAway as error:
        raise ContentUnreachable(f"{place}: {error}") from error
    except BucketRemembers as error:
        raise ContentUnfit(str(error)) from error


def content_root(folder: DataFolder, settings: Settings) -> Path:
    """The folder of content and uploads; beside a bucket, that of uploads alone."""
    if settings.content_url.startswith("s3:"):
        return folder.content
    return folder.root / settings.content_url.removeprefix("file:").removeprefix("//")


def bucket_place(settings: Settings) -> BucketPlace | None:
    """The bucket that the settings name, if they do. Raises ConfigInvalid."""
    url = urlsplit(settings.content_url)
    if url.scheme != "s3":
        return None
    options = dict(parse_qsl(url.query))
    if unknown := options.keys() - {"endpoint", "region"}:
        raise ConfigInvalid(
            f"content_url knows endpoint and region, but not {', '.join(sorted(unknown))}"
        )
    prefix = url.path.strip("/")
    return BucketPlace(
        bucket=url.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=options.get("endpoint"),
        region=options.get("region", "us-east-1"),
    )


def content_place(settings: Settings) -> str:
    """Where attachments lie, as hubs that serve together would all name it. Raises ConfigInvalid.

    A bucket may be reached by several addresses, and a folder be mounted anywhere.
    """
    place = bucket_place(settings)
    return f"s3://{place.bucket}/{place.prefix}" if place else "a folder"


def require_content(contents: Contents, log: EventRecorder) -> None:
    """Refuse a place that is not there, or not ours, while events name content.

    A folder that an older version made is given what it lacks, and a bucket where nobody has
    begun is taken. Raises StoreMissing, and OSError when a bucket cannot be asked or keeps what
    is deleted.
    """
    if isinstance(contents.store, ObjectContentStore):
        _require_bucket(contents.store, log)
        make_root(contents.root)
    elif not is_root(contents.root):
        _require_folder(contents, log)


def _require_folder(contents: Contents, log: EventRecorder) -> None:
    root = contents.root
    is_ours = root.is_dir() and any(True for _ in contents.store.exchanges())
    if not is_ours and _names_content(log):
        raise _nothing_in(str(root))
    make_root(root)


def _require_bucket(content: ObjectContentStore, log: EventRecorder) -> None:
    # Whoever sweeps removes what no event names: two logs must never share a place.
    content.require_forgetful()
    ours, theirs = name_of(log), content.belongs_to()
    if theirs is None:
        if _names_content(log):
            # Whoever knows that it is lost for good begins anew by hand, with this.
            raise _nothing_in(f"{content}: no object `log` that says {ours}")
        content.begin(ours)
    elif theirs != ours:
        raise StoreMissing(f"the content in {content} belongs to another log")


def name_of(log: EventRecorder) -> str:
    """What tells this log from any other, and stays when its origin changes: its first leaf."""
    return hashlib.sha256(log.select_notifications(1, 1)[0].state).hexdigest()


def _nothing_in(where: str) -> StoreMissing:
    return StoreMissing(f"documents in the log have attachments, but nothing of them is in {where}")


def _names_content(log: EventRecorder) -> bool:
    start = 1
    topics = sorted(OPENING_TOPICS)
    while page := log.select_notifications(start, _PAGE, topics=topics):
        if any(read_leaf(each.state).data["attachments"] for each in page):
            return True
        start = page[-1].id + 1
    return False


def _credentials(folder: DataFolder, settings: Settings) -> Credentials:
    """From the file that the settings name, else from the environment. Raises ConfigInvalid."""
    if settings.content_credentials_file:
        return _credentials_in(folder.root / settings.content_credentials_file)
    if not (os.environ.get(_KEY) and os.environ.get(_SECRET)):
        raise ConfigInvalid(f"content_url needs content_credentials_file, or {_KEY} and {_SECRET}")
    return Credentials(os.environ[_KEY], os.environ[_SECRET], os.environ.get(_TOKEN))


def _credentials_in(path: Path) -> Credentials:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_secret(path).decode("utf-8"))
        found = parser["default"]
        key, secret = found[_KEY.lower()], found[_SECRET.lower()]
        return Credentials(key, secret, found.get(_TOKEN.lower()))
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # Not from what was wrong: its words could hold a secret.
        raise ConfigInvalid(
            f"{path} must have a section [default] with {_KEY.lower()} and {_SECRET.lower()}"
        ) from None
