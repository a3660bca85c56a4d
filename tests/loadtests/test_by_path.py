"""Each load test runs as a module and by its path, says what it measures, and takes the same options."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.__main__ import LOAD_TESTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", LOAD_TESTS)
def test_a_load_test_runs_by_its_path(name: str, tmp_path: Path) -> None:
    program = ROOT / "loadtests" / f"{name}.py"
    done = subprocess.run([sys.executable, program, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout
    assert "--json" in done.stdout
