"""One line of the access log, of what is known of a request and its answer.

A line is a JSON object in printable ASCII, whatever a client sends: it can neither end a line nor begin another, nor
move a terminal's cursor. What may be secret stays out: the query, cookies, credentials, a referrer's query. Each
value is cut at VALUE_BYTES_MAX, so that a line fits into one write to a pipe.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import orjson

from router.forwarded import TrustedProxies
from router.http1.field_lines import split_field_lines

Fields = Sequence[tuple[bytes, bytes]]

VALUE_BYTES_MAX: Final = 512
LOGGED_FIELDS: Final = frozenset({b"host", b"user-agent", b"referer", b"x-forwarded-for"})
REFERRER: Final = re.compile(rb"https?://[^/?#@\s]+(?:/[^?#\s]*|(?=[?#])|\Z)", re.IGNORECASE)
UNPRINTABLE: Final = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as it is logged. `path` is as sent, without its query; `fields` those of LOGGED_FIELDS."""

    method: bytes
    path: bytes
    fields: Fields

    @classmethod
    def parse(cls, request: bytes) -> "Asked":
        """`request` is a whole one without a body, which was understood before."""
        line, _, block = request.partition(b"\r\n")
        method, target, _ = line.split(b" ")
        return cls(method, target.partition(b"?")[0], logged_fields(block[: -len(b"\r\n")]))


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """`asked` are a request's bytes where nobody has taken them apart yet; None: it was refused unread. `at_s` is Unix
    time; `elapsed_ns` None where the answer was ready. `cut`: the connection ended before the answer did."""

    at_s: float
    peer: str
    asked: Asked | bytes | None
    status: int | None
    body_bytes: int
    elapsed_ns: int | None = None
    cut: bool = False


def render(record: AccessRecord, proxies: TrustedProxies) -> bytes:
    """With its line feed."""
    asked = Asked.parse(record.asked) if isinstance(record.asked, bytes) else record.asked
    at_s = int(record.at_s)
    client = proxies.client(record.peer, asked.fields) if asked is not None else record.peer
    parts = [
        b'{"time":"%b.%03dZ","client":%b'
        % (second(at_s), (record.at_s - at_s) * 1_000, quoted(client.encode("latin-1")))
    ]
    values = dict(reversed(asked.fields)) if asked is not None else {}
    if asked is not None:
        host = quoted(values.get(b"host", b"")[:VALUE_BYTES_MAX])
        path = quoted(asked.path[:VALUE_BYTES_MAX])
        parts.append(b',"method":%b,"host":%b,"path":%b' % (quoted(asked.method), host, path))
    status = b"%d" % record.status if record.status is not None else b"null"
    parts.append(b',"status":%b,"bytes":%d' % (status, record.body_bytes))
    if record.elapsed_ns is not None:
        parts.append(b',"ms":%.3f' % (record.elapsed_ns / 1e6))
    if asked is not None:
        agent = quoted(values.get(b"user-agent", b"")[:VALUE_BYTES_MAX])
        referrer = REFERRER.match(values.get(b"referer", b""))
        referred = quoted(referrer[0][:VALUE_BYTES_MAX]) if referrer is not None else b'""'
        parts.append(b',"agent":%b,"referer":%b' % (agent, referred))
    parts.append(b',"cut":true}\n' if record.cut else b"}\n")
    return b"".join(parts)


# A browser's fields, a site's paths and the time of day repeat: to quote them anew would be most of a line's cost.


@lru_cache(maxsize=1_024)
def logged_fields(block: bytes) -> Fields:
    return [field for field in split_field_lines(block) if field[0] in LOGGED_FIELDS]


@lru_cache(maxsize=8_192)
def quoted(value: bytes) -> bytes:
    """As a string of JSON in ASCII from space to tilde; other bytes as `\\xNN`, as many as fit."""
    text = value.decode("ascii", "backslashreplace")
    return orjson.dumps(UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)[:VALUE_BYTES_MAX])


@lru_cache(maxsize=4)
def second(at_s: int) -> bytes:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
