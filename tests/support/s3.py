"""An S3 for tests: moto's, on a free loopback port of this process, with a bucket for each test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.session import Session

from adapters.storage.objects import Bucket, BucketPlace, Credentials
from tests.support.hubs import Founded
from tests.support.proxies import Proxy

CREDENTIALS = Credentials("tests", "of-tests-and-nobody-else")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
    "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
}

SETTINGS = """
content_url = "s3://{bucket}/hubs/one?endpoint=http://127.0.0.1:{port}"
content_credentials_file = "s3-credentials"
content_timeout_s = 30
"""


class S3:
    """The server, and a client that may do what hubs must not."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint(),
            aws_access_key_id=CREDENTIALS.access_key,
            aws_secret_access_key=CREDENTIALS.secret_key,
        )

    def endpoint(self, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}"

    def new_bucket(self, **more: Any) -> str:
        name = f"hub-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name, **more)
        return name

    def objects(self, bucket: str) -> Mapping[str, int]:
        """Every object with its size."""
        found: dict[str, int] = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found |= {each["Key"]: each["Size"] for each in page.get("Contents", ())}
        return found

    def unfinished(self, bucket: str) -> list[str]:
        """Every upload in parts that was neither finished nor aborted."""
        answer = self.client.list_multipart_uploads(Bucket=bucket)
        return [each["Key"] for each in answer.get("Uploads", ())]

    @contextmanager
    def opened(
        self, bucket: str, *, prefix: str = "", port: int | None = None, timeout_s: float = 5.0
    ) -> Iterator[Bucket]:
        place = BucketPlace(bucket, prefix, self.endpoint(port))
        with closing(Bucket(place, CREDENTIALS, timeout_s=timeout_s)) as opened:
            yield opened


@contextmanager
def s3_server() -> Iterator[S3]:
    """The server for as long as the block runs."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        s3 = S3(server.get_host_and_port()[1])
        with closing(s3.client):
            yield s3
    finally:
        server.stop()


@dataclass
class Place:
    """A hub's bucket, and the way to it."""

    s3: S3
    bucket: str
    proxy: Proxy

    @property
    def attachments(self) -> list[str]:
        return [name for name in self.s3.objects(self.bucket) if "/exchanges/" in name]


@contextmanager
def place_of(founded: Founded, s3: S3) -> Iterator[Place]:
    """A bucket that a hub's settings name, and the way to it; it has not served since."""
    root, bucket = founded.folder.root, s3.new_bucket()
    with Proxy(s3.port) as proxy:
        settings = SETTINGS.format(bucket=bucket, port=proxy.port)
        (root / "hub.toml").write_text((root / "hub.toml").read_text() + settings)
        secret = root / "s3-credentials"
        secret.touch(0o600)
        secret.write_text(
            f"[default]\naws_access_key_id = {CREDENTIALS.access_key}\n"
            f"aws_secret_access_key = {CREDENTIALS.secret_key}\n"
        )
        yield Place(s3, bucket, proxy)
