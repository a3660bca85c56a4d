"""Each rule of pages-serving and each number of docs/differences.md is named by a test.

A rule is a row of its section's table, or a bullet of its list, counted from the top: `test_4_2_row_7_…` is the seventh
row of 4.2. Sections 0 and 3 count steps, 6.1 columns too; 12's rows are corner cases. Outside this folder and
tests/functions/ the section follows `pages`: `test_pages_0_step_9_…`. A test that holds several rules is named after
one and marked with the others: `@pytest.mark.pages("6.3 row 4", "12 row 2")`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent
BARE = {"asset_server", "functions"}
"""Folders whose tests are named by the sections of pages-serving alone."""
STEPS = {"0": 11, "3": 5}
ROWS = {
    "1": 12, "2.1": 4, "2.4": 5, "3": 3, "4.1": 4, "4.2": 13, "4.3": 4, "4.4": 13, "4.5": 7, "4.6": 6, "5.1": 13,
    "5.2": 4, "5.3": 6, "6.1": 6, "6.2": 6, "6.3": 4, "6.4": 8, "7": 8, "9": 9, "10": 12, "11": 7,
}  # fmt: skip
COLUMNS = ("200", "304", "308", "30x", "404_page", "404_bare", "405", "406", "500")
WHOLE = ("2.3", "4.7", "4.8", "8")
CORNER_CASES = 36
RULES = {
    *(f"{section} step {n}" for section, count in STEPS.items() for n in range(1, count + 1)),
    *(f"{section} row {n}" for section, count in ROWS.items() for n in range(1, count + 1)),
    *(f"2.2 row {n}" for n in ("1a", "1b", "1c", "1d", "2", "3", "4", "5")),
    *(f"6.1 column {name}" for name in COLUMNS),
    *WHOLE,
    *(f"12 row {n}" for n in range(1, CORNER_CASES + 1)),
}
SECTIONS = {*ROWS, "2.2"}
NOT_OURS = {
    "1 row 12": "the dev server's file system",
    "6.1 row 4": "a header that only the public service's operators turn on",
    "6.1 row 5": "the dev server's own header",
    "7 row 8": "the dev server's runtime",
    "9 row 9": "lists that wrangler generates before it deploys",
    "10 row 9": "the dev server's ignores",
    "10 row 12": "wrangler's own batches; what they ask of the API is in pages-api",
    "11 row 7": "the dev server's variable",
}
SECTION = re.compile(
    r"(?P<major>[0-9]+)(?:_(?P<minor>[0-9]+)(?=_))?"
    r"(?:_(?P<kind>step|row)_(?P<item>[0-9]+[a-d]?)|_column_(?P<column>[0-9]+x?(?:_(?:page|bare))?))?"
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def each_test() -> Iterator[tuple[str, Function]]:
    """With the folder that it is in."""
    for file in TESTS.rglob("test_*.py"):
        if "node_modules" not in file.parts:
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, Function) and node.name.startswith("test_"):
                    yield file.relative_to(TESTS).parts[0], node


def rules_in_name(folder: str, name: str) -> set[str]:
    named = {f"12 row {number}" for number in re.findall(r"corner_case_([0-9]+)", name)}
    starts = [match.end() for match in re.finditer(r"pages_(?=[0-9])", name)]
    if folder in BARE:
        starts.append(len("test_"))
    for match in (SECTION.match(name, start) for start in starts):
        if match is not None:
            section = match["major"] if match["minor"] is None else f"{match['major']}.{match['minor']}"
            item = f" column {match['column']}" if match["column"] else f" {match['kind']} {match['item']}"
            named.add(section + item if match["kind"] or match["column"] else section)
    return named


def rules_in_marks(function: Function) -> set[str]:
    marks = [each for each in function.decorator_list if isinstance(each, ast.Call)]
    return {
        str(ast.literal_eval(rule))
        for mark in marks
        if isinstance(mark.func, ast.Attribute) and mark.func.attr == "pages"
        for rule in mark.args
    }


def test_every_rule_of_pages_serving_has_a_test_that_names_it() -> None:
    named: set[str] = set()
    for folder, function in each_test():
        marked = rules_in_marks(function)
        assert marked <= RULES | SECTIONS, f"{function.name} is marked with what is no rule: {marked - RULES}"
        named |= marked | rules_in_name(folder, function.name)
    missing = RULES - NOT_OURS.keys() - named
    assert not missing, f"no test names {sorted(missing)}"
    assert not NOT_OURS.keys() & named, "what a test names is ours"


def test_every_difference_has_a_test_that_names_it() -> None:
    table = (TESTS.parent / "docs" / "differences.md").read_text("utf-8")
    numbers = set(re.findall(r"^\| ([0-9]+b?) \|", table, re.MULTILINE))
    assert len(numbers) >= 28
    named = {
        number for _, each in each_test() for number in re.findall(r"difference_([0-9]+b?)(?![0-9a-z])", each.name)
    }
    assert numbers <= named, f"no test names the differences {sorted(numbers - named)}"
