from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migration.legacy_store import LegacyStore, legacy_store


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[LegacyStore]:
    """Three sites with ten deployments each, and one production host each, in tables alone."""
    with legacy_store(tmp_path) as store:
        yield store
