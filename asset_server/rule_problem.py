"""One line of a rule file that is not used, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """`line_number` counts from 1; None where the problem is the file's as a whole."""

    line_number: int | None
    line: str
    message: str
