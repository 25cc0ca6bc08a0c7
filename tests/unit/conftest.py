"""Unit tests reach no network: a socket that is not AF_UNIX is refused."""

from collections.abc import Iterator

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    # asyncio wakes its own loop through an AF_UNIX pair, so that family stays.
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()
