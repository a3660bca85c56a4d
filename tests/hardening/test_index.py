"""Every case of hardening.md whose part exists is named by a test, with `test_NN_…` or with `hardening_NN`.

Cases live here when they need a listener or a whole server, under tests/router/ when the store or a parser is
enough, under tests/faults/ when they need a process killed or a disk filled, and elsewhere beside their module.
"""

import ast
import re
from pathlib import Path

from tests.hardening.payloads import REFUSED

TESTS = Path(__file__).parent.parent
BARE_NUMBERS = {"hardening", "router", "faults"}
"""Folders whose tests are named by these numbers alone; elsewhere a number is a section of another spec."""
CASES = [*range(1, 50), *range(53, 58), *range(60, 63), *range(65, 69), 73, 74, *range(76, 81), *range(82, 85)]
WAITS = {
    28: "TLS is the proxy's in front of Onehop",
    33: "HTTP/2 is the proxy's in front of Onehop",
}


def numbers_in(name: str, *, bare: bool) -> set[int]:
    named = {int(number) for number in re.findall(r"hardening_([0-9]+)", name)}
    if bare and (match := re.match(r"test_((?:[0-9]+_)+)", name)):
        named |= {int(number) for number in match[1].strip("_").split("_")}
    return named


def named_cases() -> set[int]:
    cases = {payload.number for payload in REFUSED}
    for file in TESTS.rglob("test_*.py"):
        if "node_modules" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                cases |= numbers_in(node.name, bare=file.relative_to(TESTS).parts[0] in BARE_NUMBERS)
    return cases


def test_every_case_has_a_test_that_names_it() -> None:
    missing = set(CASES) - named_cases() - WAITS.keys()
    assert not missing, f"no test names hardening cases {sorted(missing)}"


def test_what_waits_has_no_test_yet() -> None:
    """So that a case leaves the list of waiting ones with its first test."""
    assert not WAITS.keys() & named_cases()
