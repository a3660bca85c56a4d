"""`_headers`: from the author's file to rules, and from an answer's headers to those that go out (pages-serving 5).

    text → HeaderRules.parse → encode … decode → apply(headers, hostname, path)

A block is a path line and the header lines under it. Every block whose path matches applies, in the file's order;
inside one, detaches come before sets. Values that aren't ASCII go out as UTF-8.

What frames a message or binds a connection isn't a site's to say, and neither is a cookie for more than its own host:
such lines are refused with their reason and the rest applies (hardening 48).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from asset_server.answer_headers import FIELD_BYTES, SET_BYTES_MAX, AnswerHeaders
from asset_server.compiled_rules import RulesUnreadable, decode_frame, encode_frame
from asset_server.message import HeaderFields
from asset_server.pattern import Pattern, PatternRefused
from asset_server.rule_file import BLANKS, rule_lines
from asset_server.rule_problem import RuleProblem
from asset_server.rule_url import ABSOLUTE_START, normalise_rule_path, split_absolute
from asset_server.template import Template, names_in

RULES_MAX: Final = 100
"""Asked when a path line is met, before the block above it is added: so 101 blocks count, as on Pages."""
HEADERS_MAX: Final = 100
"""Set or removed under one path. Pages has no such limit; an answer with more breaks clients (differences 26)."""
MAGIC: Final = b"OHHR"
DETACH: Final = "! "
SET_COOKIE: Final = "set-cookie"
PATH_LINE: Final = re.compile(rf"/|[^{BLANKS}]+://")
PORT: Final = re.compile(r":[0-9]+\Z")
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 5.6.2: what a field name is made of."""
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
COOKIE_DOMAIN: Final = re.compile(r";\s*domain\s*=", re.IGNORECASE)
RESERVED: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
RESERVED_PREFIX: Final = "proxy-"


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One block. Names are lower case; `path` is a normalised pattern, or one that begins with "https://"."""

    path: str
    sets: tuple[tuple[str, str], ...]
    detaches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A block ready to apply. A value with a name in it that `pattern` captures has its template beside it."""

    pattern: Pattern
    is_absolute: bool
    detaches: tuple[bytes, ...]
    sets: tuple[tuple[bytes, bytes, Template | None], ...]

    @classmethod
    def of(cls, rule: HeaderRule) -> Self:
        pattern = Pattern.parse(rule.path)
        captured = frozenset(pattern.names)
        return cls(
            pattern,
            rule.path.startswith(ABSOLUTE_START),
            tuple(name.encode("ascii") for name in rule.detaches),
            tuple(
                (
                    name.encode("ascii"),
                    value.encode("utf-8"),
                    Template.parse(value, captured) if captured & names_in(value) else None,
                )
                for name, value in rule.sets
            ),
        )

    def apply(self, headers: AnswerHeaders, captured: Mapping[str, str]) -> None:
        headers.detach(self.detaches)
        for name, value, template in self.sets:
            if template is None:
                headers.set(name, value)
            elif headers.has_room(name, template.filled_bytes(captured)):
                filled = template.fill(captured).encode("utf-8")
                if not _is_wide_cookie(name, filled):
                    headers.set(name, filled)


@dataclass(frozen=True, slots=True)
class HeaderRules:
    rules: tuple[HeaderRule, ...]
    prepared: tuple[_Prepared, ...] = field(repr=False)

    @classmethod
    def of(cls, rules: Sequence[HeaderRule]) -> Self:
        """Raises PatternRefused."""
        return cls(tuple(rules), tuple(_Prepared.of(rule) for rule in rules))

    @classmethod
    def parse(cls, text: str) -> tuple[Self, list[RuleProblem]]:
        lines = text.split("\n")
        problems: list[RuleProblem] = []
        reader = _Reader(problems)
        for number, line in rule_lines(lines, problems):
            if PATH_LINE.match(line) is None:
                reader.read_header(number, line)
            elif reader.blocks_count >= RULES_MAX:
                left_count = len(lines) - (number - 1)
                message = f"Only {RULES_MAX} rules are allowed. Skipping remaining {left_count} lines of file."
                problems.append(RuleProblem(None, "", message))
                break
            else:
                reader.end_block(number)
                reader.begin_block(number, line)
        reader.end_block(len(lines))
        return cls.of(tuple(reader.rules.values())), problems

    def encode(self) -> bytes:
        return encode_frame(MAGIC, [[rule.path, rule.sets, rule.detaches] for rule in self.rules])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises RulesUnreadable."""
        try:
            return cls.of([_decode_rule(entry) for entry in decode_frame(MAGIC, data)])
        except (PatternRefused, UnicodeEncodeError) as error:
            raise RulesUnreadable(f"a compiled header rule has a bad path or name: {error}") from None

    @property
    def names_hosts(self) -> bool:
        """Whether what they do hangs on the host that is asked."""
        return any(rule.is_absolute for rule in self.prepared)

    def apply(self, headers: HeaderFields, *, hostname: str, path: str) -> HeaderFields:
        """The headers of an answer to the encoded `path`."""
        applied: AnswerHeaders | None = None
        for rule in self.prepared:
            captured = rule.pattern.capture(f"{ABSOLUTE_START}{hostname}{path}" if rule.is_absolute else path)
            if captured is not None:
                applied = applied or AnswerHeaders(headers)
                rule.apply(applied, captured)
        return list(headers) if applied is None else applied.fields()


def _is_wide_cookie(name: bytes, value: bytes) -> bool:
    """Captured text may have brought a Domain into a cookie: paths can hold ";" and "="."""
    return name == SET_COOKIE.encode("ascii") and COOKIE_DOMAIN.search(value.decode("utf-8")) is not None


def _decode_rule(entry: object) -> HeaderRule:
    match entry:
        case [str(path), list(sets), list(detaches)]:
            pairs = [(pair[0], pair[1]) for pair in sets if isinstance(pair, list) and len(pair) == 2]
            names = [name for name in detaches if isinstance(name, str)]
            texts = [text for pair in pairs for text in pair]
            if len(pairs) == len(sets) and len(names) == len(detaches) and all(isinstance(each, str) for each in texts):
                return HeaderRule(path, tuple(pairs), tuple(names))
    raise RulesUnreadable("a compiled header rule isn't path, sets and detaches")


@dataclass(slots=True)
class _Block:
    """`path` is None under a path line that was refused: the lines below it are passed over."""

    path: str | None
    line: str
    sets: dict[str, str] = field(default_factory=dict)
    detaches: dict[str, None] = field(default_factory=dict)
    set_bytes: int = 0

    def add(self, header: "_FieldLine") -> "_FieldLine | _Refusal":
        """Takes `header` up, or says why not."""
        is_new = header.name not in (self.detaches if header.value is None else self.sets)
        if is_new and len(self.sets) + len(self.detaches) >= HEADERS_MAX:
            return _Refusal(f"Only {HEADERS_MAX} headers are allowed under one path.")
        if header.value is None:
            self.detaches[header.name] = None
            return header
        header_bytes = len(header.name) + len(header.value.encode("utf-8")) + FIELD_BYTES
        if self.set_bytes + header_bytes > SET_BYTES_MAX:
            return _Refusal(f"The headers under one path may have {SET_BYTES_MAX} bytes together.")
        self.set_bytes += header_bytes
        earlier = self.sets.get(header.name)
        self.sets[header.name] = header.value if earlier is None else f"{earlier}, {header.value}"
        return header


@dataclass(slots=True)
class _Reader:
    """`rules` are by path: a later block replaces an earlier one for the same path, in the earlier one's position."""

    problems: list[RuleProblem]
    rules: dict[str, HeaderRule] = field(default_factory=dict)
    blocks_count: int = 0
    block: _Block | None = None

    def begin_block(self, number: int, line: str) -> None:
        path = parse_path_line(line)
        if isinstance(path, _Refusal):
            self.problems.append(RuleProblem(number, line, path.reason))
            self.block = _Block(None, line)
        else:
            self.block = _Block(path, line)

    def end_block(self, number: int) -> None:
        """`number` is the line that ends it, which is where Pages reports an empty one."""
        block, self.block = self.block, None
        if block is None or block.path is None:
            return
        if not block.sets and not block.detaches:
            self.problems.append(RuleProblem(number, block.line, "No headers specified"))
            return
        self.blocks_count += 1
        self.rules[block.path] = HeaderRule(block.path, tuple(block.sets.items()), tuple(block.detaches))

    def read_header(self, number: int, line: str) -> None:
        if self.block is not None and self.block.path is None:
            return
        header = parse_header_line(line)
        if isinstance(header, _FieldLine):
            header = self.block.add(header) if self.block else _Refusal(f"Path should come before header ({line})")
        if isinstance(header, _Refusal):
            self.problems.append(RuleProblem(number, line, header.reason))


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


@dataclass(frozen=True, slots=True)
class _FieldLine:
    """`value` None: a detach."""

    name: str
    value: str | None


def parse_path_line(line: str) -> str | _Refusal:
    absolute = split_absolute(line)
    if absolute is not None:
        host, rest = absolute
        if PORT.search(host) is not None:
            return _Refusal(f"A path line can't name a port. Got {line}.")
        path = f"{ABSOLUTE_START}{host}{normalise_rule_path(rest)[0]}"
    elif line.startswith("/"):
        path = normalise_rule_path(line)[0]
    else:
        return _Refusal(f'A path line must begin with "/" or "https://". Got {line}.')
    try:
        Pattern.parse(path)
    except PatternRefused as error:
        return _Refusal(str(error))
    return path


def parse_header_line(line: str) -> _FieldLine | _Refusal:
    raw_name, colon, raw_value = line.partition(":")
    if not colon:
        if not line.startswith(DETACH):
            return _Refusal('Expected "name: value", or "! name" to remove a header.')
        name = line.removeprefix(DETACH).lower()
        return _FieldLine(name, None) if TOKEN.fullmatch(name) else _Refusal(f"{name!r} can't be a header's name.")
    name, value = raw_name.strip(BLANKS).lower(), raw_value.strip(BLANKS)
    reason = _why_refused(name, value)
    return _FieldLine(name, value) if reason is None else _Refusal(reason)


def _why_refused(name: str, value: str) -> str | None:
    if not name:
        return "No header name specified"
    if TOKEN.fullmatch(name) is None:
        return f"{name!r} can't be a header's name: it may have letters, digits and !#$%&'*+-.^_`|~, and no spaces."
    if not value:
        return "No header value specified"
    if CONTROL.search(value) is not None:
        return "A header's value can't have control characters."
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        return f"{name} belongs to the connection and is never a site's to set."
    if name == SET_COOKIE and COOKIE_DOMAIN.search(value) is not None:
        return "A cookie with a Domain would reach other sites. Leave Domain out and it stays with its host."
    return None
