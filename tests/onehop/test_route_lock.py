"""A migration's job and a key rotation keep out of each other's way; the second is told at once whom to wait for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.progress import read_progress
from onehop.migration_parts import is_rotating, set_control
from onehop.route_lock import ROTATION, RoutesBusy, job_name, mover_now, moving_routes
from router.key_files import make_key
from router.rotation import begin_rotation
from tests.migration.legacy_store import LegacyStore, legacy_store


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[LegacyStore]:
    with legacy_store(tmp_path, sites=1, deployments=3) as store:
        yield store


def refused(legacy: LegacyStore, *arguments: str) -> str:
    command = [sys.executable, "-m", "onehop", *arguments, "--data", str(legacy.it.folder.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, "one line that says what to do"
    return done.stderr


def test_whoever_comes_second_is_told_the_name_of_the_first(legacy: LegacyStore) -> None:
    assert mover_now(legacy.it.folder) is None
    with moving_routes(legacy.it.folder) as tell_name:
        tell_name(job_name("38b25403"))
        assert mover_now(legacy.it.folder) == "job 38b25403"
        with pytest.raises(RoutesBusy, match="38b25403 is under way"), moving_routes(legacy.it.folder):
            pass
    with moving_routes(legacy.it.folder):
        assert mover_now(legacy.it.folder) == "", "an earlier holder's name is gone"


def test_a_rotation_beside_a_migration_is_refused_and_changes_nothing(legacy: LegacyStore) -> None:
    legacy.mover.begin("38b25403", None)
    with moving_routes(legacy.it.folder) as tell_name:
        tell_name(job_name("38b25403"))
        assert "job 38b25403 is under way" in refused(legacy, "keys", "rotate", "--no-guard")
    assert "job 38b25403 was cut short" in refused(legacy, "keys", "rotate", "--no-guard")
    assert not is_rotating(legacy.it)
    assert legacy.migrate("38b25403").failed == 0


def test_beside_a_rotation_all_else_is_refused_before_it_begins(legacy: LegacyStore) -> None:
    with moving_routes(legacy.it.folder) as tell_name:
        tell_name(ROTATION)
        assert ROTATION in refused(legacy, "keys", "rotate", "--no-guard")
        assert ROTATION in refused(legacy, "migrate", "run", "--no-guard", "--rate", "9")
    with legacy.it.store.read() as snapshot:
        assert read_progress(snapshot) is None


def test_a_rotation_that_was_cut_short_goes_first(legacy: LegacyStore) -> None:
    begin_rotation(legacy.it.store, legacy.it.folder.route_keys, make_key())
    assert "onehop keys rotate" in refused(legacy, "migrate", "run", "--no-guard")
    with legacy.it.store.read() as snapshot:
        assert read_progress(snapshot) is None, "no job was made that could but fail"


def test_a_refused_run_leaves_the_pace_of_the_first(legacy: LegacyStore) -> None:
    set_control(legacy.it, deployments_per_s=7.0)
    with moving_routes(legacy.it.folder):
        refused(legacy, "migrate", "run", "--no-guard", "--rate", "9")
    assert set_control(legacy.it).deployments_per_s == 7.0
