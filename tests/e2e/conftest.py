"""A browser, as a visitor has it, for whichever test asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.e2e.chromium import opened_chromium


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    with opened_chromium(tmp_path / "profile") as driver:
        yield driver
