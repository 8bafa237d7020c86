"""Stores that the tests share: a folder and a bucket of a real S3 server."""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from jobs.ray_environment import prepare_ray
from tests.seaweed import Server, seaweed

_bucket_numbers = itertools.count(1)


def pytest_configure() -> None:
    """Clusters of the tests are private too; Ray looks at its environment when it is imported.

    SIGINT is heard even where a shell started the tests in its background, deaf to it.
    """
    prepare_ray()
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One SeaweedFS for the whole session; `environment` leads other processes to it."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, `s3://…`; this process's environment leads to its server."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{next(_bucket_numbers):03d}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An empty folder."""
    return str(tmp_path)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for files: a folder, then a bucket."""
    if request.param == "local":
        return str(tmp_path)
    bucket: str = request.getfixturevalue("bucket")
    return bucket
