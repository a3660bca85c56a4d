"""`make setup` installs requirements/runtime.txt and nothing else: every room must be importable with that alone."""

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
ROOMS: Final = tuple(
    sorted(folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists() and folder.name != "loadtests")
)
PARTS_OF_THE_TESTS: Final = ("tests",)
PROGRAM: Final = """
import importlib, importlib.abc, json, sys

absent, modules = json.loads(sys.stdin.read())

class OnlyTheLock(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}: it isn't in requirements/runtime.txt", name=name)
        return None

sys.meta_path.insert(0, OnlyTheLock())
for module in modules:
    importlib.import_module(module)
"""


def normal(name: str) -> str:
    """PEP 503's normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named_in(file: str) -> set[str]:
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    names = (re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)", line) for line in lines)
    return {normal(found[1]) for found in names if found is not None}


def modules_of(room: str) -> list[str]:
    paths = sorted((ROOT / room).rglob("*.py"))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in paths]
    return [".".join(each).removesuffix(".__init__") for each in parts if each[-1] != "__main__"]


def imports_of(room: str) -> dict[str, str]:
    """The top-level names that a room imports from outside, each with a file that does."""
    found: dict[str, str] = {}
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in ROOMS:
                    found[top] = str(path.relative_to(ROOT))
    return found


def test_the_rooms_are_found() -> None:
    assert {"onehop", "router", "asset_server", "functions", "control_plane"} <= set(ROOMS)


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in PARTS_OF_THE_TESTS])
def test_what_a_room_imports_is_asked_for_by_name(room: str) -> None:
    """Not only brought along by something else, which may cease to."""
    asked_for = named_in("runtime.in")
    known = packages_distributions()
    for name, file in imports_of(room).items():
        distributions = {normal(each) for each in known.get(name, [name])}
        assert distributions & asked_for, f"{file} imports {name}, which requirements/runtime.in doesn't name"


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in PARTS_OF_THE_TESTS])
def test_a_room_is_importable_with_the_runtime_lock_alone(room: str) -> None:
    locked = named_in("runtime.txt")
    absent = [
        name
        for name, distributions in packages_distributions().items()
        if name not in ROOMS and not {normal(each) for each in distributions} & locked
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([absent, modules_of(room)]), cwd=ROOT,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pytest" in absent
