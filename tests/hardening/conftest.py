"""One listener with the default limits for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.hardening.listener import Listener, listening


@pytest.fixture(scope="module")
def module_listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def listener(module_listener: Listener) -> Listener:
    module_listener.echo.seen.clear()
    return module_listener
