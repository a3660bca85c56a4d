"""What the workflows' pages show to be typed runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from onehop.workflow_worker import load_workflows
from workflows.testing import Introspector
from workflows.workflow import name_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIAL = (DOCS / "workflows.md").read_text()
TESTING = (DOCS / "workflow-testing.md").read_text()


def samples(page: str) -> list[str]:
    found: list[str] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return found


def run(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_tutorials_program_prints_what_the_page_says(tmp_path: Path) -> None:
    greetings, program, *_ = samples(TUTORIAL)
    (tmp_path / "greetings.py").write_text(greetings)
    (tmp_path / "program.py").write_text(program)
    assert f"prints `{run(tmp_path, 'program.py').strip()}`" in TUTORIAL


def test_the_page_on_testing_has_tests_that_pass(tmp_path: Path) -> None:
    (tmp_path / "greetings.py").write_text(samples(TUTORIAL)[0])
    (tmp_path / "test_greetings.py").write_text(samples(TESTING)[0])
    command = re.search(r"`python (-m pytest .*)`", TESTING)
    assert command is not None
    assert "2 passed" in run(
        tmp_path, *command[1].split(), "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temporary'}"
    )


def test_the_page_on_testing_names_whatever_steers_an_instance() -> None:
    public = {name for name in vars(Introspector) if not name.startswith("_")}
    assert {name for name in public if not re.search(rf"^\| `(await )?{name}\b", TESTING, re.MULTILINE)} == set()


EXAMPLES = re.findall(r"^\| \[(\w+)\]\(\.\./examples/workflows/\w+\.py\) \| `([\w-]+)` \|", TUTORIAL, re.MULTILINE)


def test_each_example_has_its_row() -> None:
    names = {path.stem for path in (ROOT / "examples" / "workflows").glob("*.py")}
    assert {module for module, _ in EXAMPLES} == names - {"__init__", "outbox", "params"}


@pytest.mark.parametrize(("module", "workflow"), EXAMPLES)
def test_an_example_is_told_by_its_workflows_name_with_a_command_that_starts_it(module: str, workflow: str) -> None:
    (found,) = load_workflows([f"examples.workflows.{module}"])
    assert name_of(found) == workflow
    assert f"onehop workflow trigger {workflow}" in TUTORIAL
