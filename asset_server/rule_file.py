"""How a rule file falls into lines and words, to the character as its author's own tools see it.

Those tools run JavaScript, and its blanks aren't Python's: U+FEFF is one (so a byte order mark at the start of the
file vanishes), U+0085 and the separators U+001C to U+001F are none. A line's length counts UTF-16 units.
"""

import re
from collections.abc import Iterator
from typing import Final

from asset_server.rule_problem import RuleProblem

BLANKS: Final = "".join(
    map(
        chr,
        (
            *range(0x09, 0x0E),
            0x20,
            0xA0,
            0x1680,
            *range(0x2000, 0x200B),
            0x2028,
            0x2029,
            0x202F,
            0x205F,
            0x3000,
            0xFEFF,
        ),
    )
)
"""ECMAScript 2024: WhiteSpace and LineTerminator."""
BLANK_RUN: Final = re.compile(f"[{BLANKS}]+")
INLINE_COMMENT: Final = re.compile(f"[{BLANKS}]#")
LINE_UNITS_MAX: Final = 2_000
"""UTF-16 units in a line without its outer blanks."""


def decode_rule_file(content: bytes) -> str:
    """What isn't UTF-8 becomes U+FFFD, so that one bad byte costs its own line and no other."""
    return content.decode("utf-8", "replace")


def rule_lines(lines: list[str], problems: list[RuleProblem]) -> Iterator[tuple[int, str]]:
    """The lines that say something, trimmed, with their numbers. Over-long ones are added to `problems` instead."""
    for number, raw_line in enumerate(lines, start=1):
        line = raw_line.strip(BLANKS)
        if not line or line.startswith("#"):
            continue
        if utf16_units(line) > LINE_UNITS_MAX:
            problems.append(RuleProblem(None, "", f"Line {number} has over {LINE_UNITS_MAX} characters. Skipping it."))
            continue
        yield number, line


def utf16_units(text: str) -> int:
    if len(text) > LINE_UNITS_MAX or text.isascii():
        return len(text)
    return len(text) + sum(character > "\uffff" for character in text)


def words_of(line: str) -> list[str]:
    """The words of a trimmed line, without what a blank and "#" begin."""
    comment = INLINE_COMMENT.search(line)
    return BLANK_RUN.split(line if comment is None else line[: comment.start()].rstrip(BLANKS))


def summary_lines(file_name: str, *, kind: str, valid_count: int, problems: list[RuleProblem]) -> list[str]:
    """What a deploy's log says of a rule file: how many rules count, then each line that doesn't. `kind` is a word
    such as "redirect"."""
    if valid_count == 0 and not problems:
        return []
    lines = [f"✨ Parsed {valid_count} valid {kind} rule{'' if valid_count == 1 else 's'}."]
    if problems:
        lines.append(f"Found {len(problems)} invalid {kind} rule{'' if len(problems) == 1 else 's'}:")
    for problem in problems:
        lines.append(f"▶︎ {problem.message}")
        if problem.line:
            number = "" if problem.line_number is None else f":{problem.line_number}"
            lines.append(f"    at {file_name}{number} | {problem.line}")
    return lines
