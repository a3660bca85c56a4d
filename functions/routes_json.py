"""`_routes.json`: which paths of a deployment its function answers, and which stay assets (pages-serving 9).

    text → RoutesJson.parse → encode … decode → matches(path)

An exclude rule beats every include rule. Both are asked about the encoded path as it came, without its query. A rule
is an exact path, a trailing slash aside; `*` stands for any text, slashes too; `/x/*` is also `/x`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import orjson
import re2

SPEC_VERSION: Final = 1
RULES_MAX: Final = 100
RULE_UNITS_MAX: Final = 100
"""UTF-16 units, as JavaScript counts."""
EVERYTHING: Final = "/*"
MAGIC: Final = b"OHFR"
VERSION: Final = 1
PAYLOAD_OFFSET: Final = len(MAGIC) + 1
PROGRAM_BYTES_MAX: Final = 8 * 1024 * 1024
"""RE2's budget for 100 rules of 100 characters; they take about a twentieth of it."""


class RoutesJsonRefused(ValueError):
    """The author's file can't be used; the text says what is wrong first."""


class RoutesJsonUnreadable(ValueError):
    """Compiled routes that this release didn't write, or that were damaged since."""


@dataclass(frozen=True, slots=True)
class RoutesJson:
    """`includes` and `excludes` are None where their rules are none, and where includes are all paths."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    includes: "re2._Regexp | None" = field(repr=False, compare=False)
    excludes: "re2._Regexp | None" = field(repr=False, compare=False)

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Self:
        return cls(
            tuple(include),
            tuple(exclude),
            None if EVERYTHING in include else _program(include),
            _program(exclude) if exclude else None,
        )

    @classmethod
    def everything(cls) -> Self:
        """What a deployment with a function and without a `_routes.json` has."""
        return cls.of((EVERYTHING,), ())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises RoutesJsonRefused with the first thing that is wrong."""
        try:
            routes = orjson.loads(text.removeprefix("\ufeff"))
        except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
            raise RoutesJsonRefused(f"it isn't JSON: {error}") from None
        if not isinstance(routes, dict):
            raise RoutesJsonRefused('it must be an object with "version", "include" and "exclude"')
        version, include, exclude = routes.get("version"), routes.get("include"), routes.get("exclude")
        if isinstance(version, bool) or version != SPEC_VERSION:
            raise RoutesJsonRefused(f'"version" must be {SPEC_VERSION}')
        if not isinstance(include, list) or not isinstance(exclude, list):
            raise RoutesJsonRefused('"include" and "exclude" must both be lists')
        if not include:
            raise RoutesJsonRefused('"include" must have at least one rule')
        if len(include) + len(exclude) > RULES_MAX:
            raise RoutesJsonRefused(f"it has {len(include) + len(exclude)} rules, the limit is {RULES_MAX}")
        rules = [*include, *exclude]
        for rule in rules:
            if not isinstance(rule, str):
                raise RoutesJsonRefused(f"each rule must be a text, one is {orjson.dumps(rule).decode()[:RULES_MAX]}")
            if _utf16_units(rule) > RULE_UNITS_MAX:
                raise RoutesJsonRefused(f"the rule {rule[:RULE_UNITS_MAX]}… is over {RULE_UNITS_MAX} characters long")
        for rule in rules:
            if not rule.startswith("/"):
                raise RoutesJsonRefused(f'each rule must begin with "/", {rule!r} doesn\'t')
        for name, listed in (("include", include), ("exclude", exclude)):
            if (overlap := find_overlap(listed)) is not None:
                raise RoutesJsonRefused(f'"{name}" has {overlap[0]}, which covers {overlap[1]}; leave that out')
        return cls.of(include, exclude)

    def encode(self) -> bytes:
        return MAGIC + bytes([VERSION]) + orjson.dumps([self.include, self.exclude])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises RoutesJsonUnreadable."""
        if len(data) < PAYLOAD_OFFSET or data[: len(MAGIC)] != MAGIC:
            raise RoutesJsonUnreadable(f"compiled routes don't begin with {MAGIC!r}")
        if data[len(MAGIC)] != VERSION:
            raise RoutesJsonUnreadable(
                f"compiled routes are of version {data[len(MAGIC)]}, this release reads {VERSION}"
            )
        try:
            payload = orjson.loads(data[PAYLOAD_OFFSET:])
        except orjson.JSONDecodeError as error:
            raise RoutesJsonUnreadable(f"compiled routes are damaged: {error}") from None
        match payload:
            case [[_, *_] as include, [*exclude]] if all(isinstance(rule, str) for rule in (*include, *exclude)):
                return cls.of(include, exclude)
        raise RoutesJsonUnreadable("compiled routes are damaged: not two lists of rules, the first with one at least")

    def matches(self, path: str) -> bool:
        """Whether the function answers the encoded `path`."""
        subject = path.encode("utf-8")
        if self.excludes is not None and self.excludes.fullmatch(subject) is not None:
            return False
        return self.includes is None or self.includes.fullmatch(subject) is not None


def find_overlap(rules: Sequence[str]) -> tuple[str, str] | None:
    """A rule that ends in "/*", and another one of the list that begins as it does up to the slash."""
    for rule in rules:
        if rule.endswith("/*"):
            for other in rules:
                if other != rule and other.startswith(rule[:-1]):
                    return rule, other
    return None


def _program(rules: Sequence[str]) -> "re2._Regexp":
    options = re2.Options()
    options.max_mem = PROGRAM_BYTES_MAX
    options.log_errors = False
    options.dot_nl = True
    options.never_capture = True
    return re2.compile("|".join(_pattern(rule) for rule in rules).encode("utf-8"), options)


def _pattern(rule: str) -> str:
    if rule == "/":
        return "/"
    if rule.endswith("/*") and rule != EVERYTHING:
        return f"{_with_wildcards(rule.removesuffix('/*'))}(?:/.*)?"
    if rule.endswith("*"):
        return _with_wildcards(rule)
    return f"{_with_wildcards(rule.removesuffix('/'))}/?"


def _with_wildcards(text: str) -> str:
    return ".*".join(re2.escape(part) for part in text.split("*"))


def _utf16_units(text: str) -> int:
    return len(text) + len(re.findall("[\U00010000-\U0010ffff]", text))
