"""Fixtures of the tests that run containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from container import images
from container.client import USUAL, Client
from container.host import Host


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """A host with a daemon, and in /mnt/data two files in a directory."""
    with Host() as made:
        made.shell("mkdir -p data/train && echo one >data/train/1 && echo two >data/train/2")
        yield made


@pytest.fixture(scope="session")
def fuse_image(host: Host) -> str:
    """The name of the client's image."""
    return images.provide(host, images.FUSE)


@pytest.fixture(scope="session")
def alluxio_image(host: Host) -> str:
    """The name of the image of Alluxio's servers."""
    return images.provide(host, images.ALLUXIO)


@pytest.fixture
def clients(host: Host, fuse_image: str) -> Iterator[Callable[..., Client]]:
    """A factory of containers of the client; they and their mounts are gone afterwards."""

    def make(options: tuple[str, ...] = USUAL, *arguments: str) -> Client:
        return Client(host, fuse_image, options, *arguments)

    yield make
    host.tidy()
