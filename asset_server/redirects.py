"""`_redirects`: from the author's file to rules, and from a path to the rule that answers (pages-serving 4).

    text → RedirectRules.parse → encode … decode → match(path) → RedirectMatch → redirect_location

Parsing keeps going: a line that can't be used becomes a RuleProblem and the rest counts. Plain rules before the first
one with a wildcard form a table, asked first; the others are a list, asked in the file's order.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from asset_server.compiled_rules import RulesUnreadable, decode_frame, encode_frame
from asset_server.pattern import Pattern, PatternRefused, is_dynamic
from asset_server.rule_file import rule_lines, words_of
from asset_server.rule_problem import RuleProblem
from asset_server.rule_url import ABSOLUTE_START, Destination, host_part, normalise_rule_path, resolve, split_absolute
from asset_server.template import Template, fill, names_in

STATIC_RULES_MAX: Final = 2_000
DYNAMIC_RULES_MAX: Final = 100
STATUSES: Final = (200, 301, 302, 303, 307, 308)
STATUS_DEFAULT: Final = "302"
MAGIC: Final = b"OHRR"
DECIMAL_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
BINARY_NUMBER: Final = re.compile(r"0(?:[xX][0-9A-Fa-f]+|[oO][0-7]+|[bB][01]+)")
ENDS_IN_FOLDER: Final = re.compile(r"/\*?\Z")
ENDS_IN_INDEX: Final = re.compile(r"/index(?:\.html)?\Z")
BEGINS_WITH_HOST: Final = re.compile(r"[/\\]{2}")
HOST_TEXT: Final = re.compile(r"[^/\\@:]*")
FILLED_BYTES_MAX: Final = 32 * 1024
"""Twice the longest target: a placeholder or two may take all of it, three hundred of them fill no memory."""
STAND_IN: Final = "1"
"""A captured text for trying a destination out: it can stand in a host, a port and a path."""


@dataclass(frozen=True, slots=True)
class RedirectRule:
    """One line: `source` is a normalised path or pattern; `destination` is a path or begins with "https://"."""

    source: str
    status: int
    destination: str


@dataclass(frozen=True, slots=True)
class RedirectMatch:
    """`destination` is the rule's with its placeholders filled; `target` is where that leads."""

    status: int
    destination: str
    target: Destination


@dataclass(frozen=True, slots=True)
class RedirectRules:
    """`rules` in the file's order; `table` and `listed` are how they are asked."""

    rules: tuple[RedirectRule, ...]
    table: Mapping[str, RedirectRule] = field(repr=False)
    listed: tuple[tuple[Pattern, Template, RedirectRule], ...] = field(repr=False)

    @classmethod
    def of(cls, rules: Sequence[RedirectRule]) -> Self:
        """Raises PatternRefused."""
        table_size = next((index for index, rule in enumerate(rules) if is_dynamic(rule.source)), len(rules))
        patterns = [(Pattern.parse(rule.source), rule) for rule in rules[table_size:]]
        return cls(
            tuple(rules),
            {rule.source: rule for rule in rules[:table_size]},
            tuple((each, Template.parse(rule.destination, frozenset(each.names)), rule) for each, rule in patterns),
        )

    @classmethod
    def parse(cls, text: str) -> tuple[Self, list[RuleProblem]]:
        lines = text.split("\n")
        problems: list[RuleProblem] = []
        reader = _Reader()
        for number, line in rule_lines(lines, problems):
            try:
                reader.read(line)
            except _LineRefused as error:
                problems.append(RuleProblem(number, line, str(error)))
            except _StaticLimit:
                message = f"Only {STATIC_RULES_MAX} static rules are allowed. Skipping line {number}."
                problems.append(RuleProblem(None, "", message))
            except _DynamicLimit:
                left_count = len(lines) - (number - 1)
                limit = f"Only {DYNAMIC_RULES_MAX} dynamic rules are allowed."
                problems.append(RuleProblem(None, "", f"{limit} Skipping remaining {left_count} lines of file."))
                break
        return cls.of(reader.rules), problems

    def encode(self) -> bytes:
        return encode_frame(MAGIC, [[rule.source, rule.status, rule.destination] for rule in self.rules])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises RulesUnreadable."""
        rules = []
        for entry in decode_frame(MAGIC, data):
            match entry:
                case [str(source), int(status), str(destination)] if status in STATUSES:
                    rules.append(RedirectRule(source, status, destination))
                case _:
                    raise RulesUnreadable("a compiled redirect isn't source, status and destination")
        try:
            return cls.of(rules)
        except PatternRefused as error:
            raise RulesUnreadable(f"a compiled redirect has a bad pattern: {error}") from None

    def match(self, path: str) -> RedirectMatch | None:
        """The first rule for the encoded `path`. One whose filled destination is no URL, or longer than any could be
        meant to be (differences 22, 26), doesn't count as matching."""
        rule = self.table.get(path)
        if rule is not None:
            return _lead(rule, rule.destination)
        for pattern, destination, rule in self.listed:
            captured = pattern.capture(path)
            if captured is None or destination.filled_bytes(captured) > FILLED_BYTES_MAX:
                continue
            if not _keeps_host(rule.destination, captured):
                continue
            found = _lead(rule, destination.fill(captured))
            if found is not None:
                return found
        return None


def redirect_location(match: RedirectMatch, *, origin: str, query: str) -> str:
    """The Location value, ASCII (pages-serving 4.5)."""
    return match.target.location(origin=origin, query=query)


def _lead(rule: RedirectRule, destination: str) -> RedirectMatch | None:
    target = resolve(destination)
    return None if target is None else RedirectMatch(rule.status, destination, target)


def _keeps_host(template: str, captured: Mapping[str, str]) -> bool:
    """False where captured text would end or change a host that the author wrote a part of: `https://:x.example` for
    a path `/evil.example/y`. A host that is nothing but a placeholder is the visitor's to choose."""
    host = host_part(template)
    names = names_in(host)
    if not names or host in {f":{name}" for name in names}:
        return True
    return all(HOST_TEXT.fullmatch(captured.get(name, "")) is not None for name in names)


class _LineRefused(Exception):
    """Why a line isn't used, for its author."""


class _StaticLimit(Exception):
    """This line is one static rule too many."""


class _DynamicLimit(Exception):
    """This line is one dynamic rule too many, and everything after it is passed over."""


@dataclass(slots=True)
class _Reader:
    """The rules so far, and what was counted for the limits: lines that fail later count too (differences 12)."""

    rules: list[RedirectRule] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    static_count: int = 0
    dynamic_count: int = 0

    def read(self, line: str) -> None:
        """Adds the line's rule. The order of the checks is Pages'; each sees only what the ones before let pass."""
        words = words_of(line)
        if len(words) not in (2, 3):
            raise _LineRefused(f"Expected exactly 2 or 3 whitespace-separated tokens. Got {len(words)}.")
        source = parse_source(words[0])
        self._count(source)
        _check_pattern(source)
        destination = parse_destination(words[1], source)
        status_text = words[2] if len(words) == 3 else STATUS_DEFAULT
        status = parse_status(status_text)
        if status is None:
            raise _LineRefused(f"The status must be one of {', '.join(map(str, STATUSES))}. Got {status_text}.")
        is_absolute = destination.startswith(ABSOLUTE_START)
        if not is_absolute and ENDS_IN_FOLDER.search(source) and ENDS_IN_INDEX.search(destination):
            raise _LineRefused(
                f"{source} to {destination} would loop: the index page's own redirect leads back to the folder. "
                "A site without a 404.html already answers every unknown path with /index.html."
            )
        if source in self.sources:
            raise _LineRefused(f"Ignoring duplicate rule for path {source}.")
        self.sources.add(source)
        if status == 200 and is_absolute:
            raise _LineRefused(f"A rule with status 200 can only lead to a path of this site. Got {destination}.")
        self.rules.append(RedirectRule(source, status, destination))

    def _count(self, source: str) -> None:
        if self.dynamic_count == 0 and not is_dynamic(source):
            self.static_count += 1
            if self.static_count > STATIC_RULES_MAX:
                raise _StaticLimit
        else:
            self.dynamic_count += 1
            if self.dynamic_count > DYNAMIC_RULES_MAX:
                raise _DynamicLimit


def parse_source(word: str) -> str:
    if split_absolute(word) is not None:
        raise _LineRefused(f"A source must be a path of this site. Got {word}.")
    return normalise_rule_path(word if word.startswith("/") else f"/{word}")[0]


def parse_destination(word: str, source: str) -> str:
    """A path, or "https://", host as written and path; query and fragment kept, names not yet filled."""
    absolute = split_absolute(word)
    if absolute is not None:
        host, rest = absolute
        destination = f"{ABSOLUTE_START}{host}{''.join(normalise_rule_path(rest))}"
        stand_ins = dict.fromkeys(names_in(host) & set(Pattern.parse(source).names), STAND_IN)
        if resolve(fill(destination, stand_ins)) is None:
            raise _LineRefused(f"The destination isn't a URL. Got {word}.")
        return destination
    if not word.startswith("/"):
        raise _LineRefused(f'A destination must begin with "/" or "https://". Got {word}.')
    destination = "".join(normalise_rule_path(word))
    if BEGINS_WITH_HOST.match(destination) is not None:
        raise _LineRefused(
            f"A destination that begins with two slashes leaves this site. Write https:// and the host. Got {word}."
        )
    return destination


def parse_status(text: str) -> int | None:
    """What JavaScript's Number makes of `text`, when that is an allowed status: "301", "301.0" and "0x12D" are one."""
    if DECIMAL_NUMBER.fullmatch(text) is not None:
        value = float(text)
    elif BINARY_NUMBER.fullmatch(text) is not None:
        value = int(text, 0)
    else:
        return None
    return int(value) if value in STATUSES else None


def _check_pattern(source: str) -> None:
    try:
        Pattern.parse(source)
    except PatternRefused as error:
        raise _LineRefused(str(error)) from None
