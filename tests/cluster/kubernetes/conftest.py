"""A real API server for the tests of this folder; without one they are skipped with the reason.

`make test` skips them too: several processes would each start a server of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.kubernetes.api import Api
from tests.cluster.kubernetes.programs import Binaries, Missing, find
from tests.cluster.kubernetes.server import ACCOUNT, ApiServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "binaries" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.api_server)


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """Return the API server's programs."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.skip("make test-cluster runs the tests with an API server, in one process")
    try:
        return find()
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def server(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Return a running API server that the tests of one file share."""
    with ApiServer(binaries, tmp_path_factory.mktemp("api-server")) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: ApiServer) -> Api:
    """Return requests by an administrator."""
    return server.api()


@pytest.fixture(scope="module")
def account(server: ApiServer) -> Api:
    """Return requests by the controller's account."""
    return server.api(ACCOUNT)
