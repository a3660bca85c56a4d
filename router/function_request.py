"""A request as it goes on to a function: what of it is passed, what we say in its place, what never leaves. Pure.

Both ways the message is made anew from parsed fields. Those of a hop end here, and a client can't say what only we
may: its own address, the scheme, and our control fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import orjson

from functions.workerd_config import CONTROL_FIELD, SCHEME_FIELD
from functions.workerd_http import AnswerStart, AskHead
from router.edge import EdgeRequest, FunctionFirst

Fields = list[tuple[bytes, bytes]]

CONTROL: Final = CONTROL_FIELD.encode("ascii")
SCHEME: Final = SCHEME_FIELD.encode("ascii")
OUTCOME: Final = b"onehop-outcome"
"""The dispatcher's word, in an answer's fields, that the function ended with an error; the body is its text."""
UNSTARTED: Final = b"unstarted"
LOOP_FIELD: Final = b"cdn-loop"
OUR_LOOP: Final = b"onehop"
OWN_PREFIX: Final = b"onehop-"
HOP_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
     b"content-length", b"expect", b"proxy-authorization", b"proxy-authenticate"}
)  # fmt: skip
OURS: Final = frozenset(
    {b"host", b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"cf-visitor", b"cf-ipcountry", b"cf-ray",
     b"cf-worker", b"true-client-ip", b"x-real-ip", b"x-forwarded-proto", b"x-forwarded-for"}
)  # fmt: skip
NO_INDEX: Final = (b"x-robots-tag", b"noindex")
REPEATABLE: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """`pipeline` is encoded as its route stores it, `bundle` the function in it. `target` has passed the URL parser.
    `body_bytes`: None for a chunked body, 0 without one."""

    pipeline: str
    bundle: str
    method: str
    host: bytes
    target: bytes
    scheme: str
    client_address: str
    headers: Sequence[tuple[bytes, bytes]] = field(repr=False)
    is_preview: bool = False
    body_bytes: int | None = 0
    is_upgrade: bool = False

    @classmethod
    def of(cls, first: FunctionFirst, request: EdgeRequest, *, may_upgrade: bool) -> Self:
        assert first.pipeline.function is not None, "the edge asks for the function of a pipeline that has one"
        target = first.target.path + first.target.query
        return cls(
            pipeline=first.pipeline.encode().decode("ascii"),
            bundle=first.pipeline.function,
            method=request.method,
            host=request.host.lower(),
            target=target.encode("ascii"),
            scheme=request.scheme,
            client_address=request.client,
            headers=request.headers,
            is_preview=first.pipeline.is_preview,
            body_bytes=body_bytes(request.headers),
            is_upgrade=may_upgrade and request.method == "GET" and asks_for_websocket(request.headers),
        )

    @property
    def is_repeatable(self) -> bool:
        return self.method in REPEATABLE and self.body_bytes == 0 and not self.is_upgrade

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host.decode('ascii')}{self.target.decode('ascii')}"

    @property
    def loops_count(self) -> int:
        """How often it has left one of our functions."""
        return sum(
            each.strip() == OUR_LOOP
            for name, value in self.headers
            if name == LOOP_FIELD
            for each in value.lower().split(b",")
        )

    def ask_head(self, *, cf: Mapping[str, object], watched_until_ms: int) -> AskHead:
        address, scheme = self.client_address.encode("ascii"), self.scheme.encode("ascii")
        control: dict[str, object] = {"pipeline": self.pipeline, "cf": cf}
        if loops_count := self.loops_count:
            control["loops"] = loops_count
        if watched_until_ms:
            control["watchedUntil"] = watched_until_ms
        fields = [(b"host", self.host), *passed_fields(self.headers, OURS)]
        if self.is_upgrade:
            fields += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        fields += [
            (b"cf-connecting-ip", address),
            (b"x-real-ip", address),
            (b"x-forwarded-proto", scheme),
            (SCHEME, scheme),
            (CONTROL, orjson.dumps(control)),
        ]
        return AskHead(self.method.encode("ascii"), self.target, fields, self.body_bytes)


def answer_fields(start: AnswerStart, *, is_preview: bool) -> Fields:
    """Of a function's answer. Content-Length stays where it frames the body or, for HEAD, tells of it. Search engines
    are to leave previews alone, whatever answers there."""
    fields = passed_fields(start.fields, frozenset())
    if is_preview and not any(name == NO_INDEX[0] for name, _ in fields):
        fields.append(NO_INDEX)
    lengths = [value for name, value in start.fields if name == b"content-length"]
    return [*fields, (b"content-length", lengths[0])] if len(lengths) == 1 else fields


def passed_fields(fields: Sequence[tuple[bytes, bytes]], ours: frozenset[bytes]) -> Fields:
    """Without those of the hop (RFC 9110 7.6.1), of `ours`, and of our own names."""
    named = {each.strip() for name, value in fields if name == b"connection" for each in value.lower().split(b",")}
    dropped = HOP_FIELDS | ours | named
    return [(name, value) for name, value in fields if name not in dropped and not name.startswith(OWN_PREFIX)]


def body_bytes(fields: Sequence[tuple[bytes, bytes]]) -> int | None:
    """The strict layer has seen to it that the fields say one thing."""
    for name, value in fields:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value)
    return 0


def asks_for_websocket(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in fields) and any(
        b"upgrade" in [each.strip() for each in value.lower().split(b",")]
        for name, value in fields
        if name == b"connection"
    )
