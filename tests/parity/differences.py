"""Whether two answers are the same, once what spec/differences.md and the dev server's artefacts explain is taken out.

Every allowance has a name: a number of spec/differences.md, or `dev …` for what only the local dev server does. An
allowance is narrow: it says what the other answer must be instead. Everything else must be equal: status, every header
field, body.
"""

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import brotli

from tests.parity.asking import Answer, Ask, Site

FRAMING: Final = frozenset({"date", "connection", "keep-alive", "transfer-encoding", "content-length", "server"})
DEV_ONLY: Final = frozenset({"x-server-env"})
URI_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "br": brotli.decompress}


@dataclass(slots=True)
class Verdict:
    """`problems` is empty when the answers agree; `allowances` names what had to be taken out for that."""

    problems: list[str] = field(default_factory=list)
    allowances: set[str] = field(default_factory=set)


def compare(site: Site, ask: Ask, theirs: Answer, ours: Answer) -> Verdict:
    verdict = Verdict()
    if whole_answer_is_explained(ask, theirs, ours, verdict):
        return verdict
    if theirs.status != ours.status:
        verdict.problems.append(f"status: Pages {theirs.status}, Onehop {ours.status}")
        return verdict
    their_fields, our_fields = plain_fields(theirs), plain_fields(ours)
    their_fields_dev = DEV_ONLY & their_fields.keys()
    for name in their_fields_dev:
        del their_fields[name]
    allow_added_fields(theirs.status, their_fields, our_fields, verdict)
    allow_location(site, theirs, their_fields, our_fields, verdict)
    their_body, our_body = decoded_bodies(theirs, ours, their_fields, our_fields, verdict)
    for name in sorted(their_fields.keys() | our_fields.keys()):
        if their_fields.get(name) != our_fields.get(name):
            verdict.problems.append(f"{name}: Pages {their_fields.get(name)!r}, Onehop {our_fields.get(name)!r}")
    if their_body != our_body and not verdict.allowances & {"8b"}:
        verdict.problems.append(f"body: Pages {their_body[:80]!r}, Onehop {our_body[:80]!r}")
    return verdict


def plain_fields(answer: Answer) -> dict[str, str]:
    names = {name for name, _value in answer.fields} - FRAMING
    return {name: answer.field(name) or "" for name in names}


def whole_answer_is_explained(ask: Ask, theirs: Answer, ours: Answer, verdict: Verdict) -> bool:
    """Cases where the dev server's answer says nothing about the real thing: only sanity is asked of ours."""
    path = unquote_to_bytes(ask.target.encode("latin-1").partition(b"?")[0].replace(b"\\", b"/"))
    if theirs.status == 502:
        verdict.allowances.add("7")
        wanted = (400,) if b"\0" in path else (200, 304, 308, 404)
        if ours.status not in wanted:
            verdict.problems.append(f"status: the dev server stumbled (502), Onehop {ours.status}, not one of {wanted}")
        return True
    if b"//" in path and theirs.status in (200, 304, 308, 404) and ours.status in (200, 304, 308, 404):
        # The dev server joins such a path to its folder and finds the file; an exact look-up misses (§1).
        verdict.allowances.add("dev double slashes")
        return True
    if b".." in path.split(b"/") and b"%2f" in ask.target.lower().encode("latin-1") and ours.status == 404:
        # Likewise for dot segments that an escaped slash has hidden from the URL parser.
        verdict.allowances.add("dev dot segments")
        return True
    return False


def allow_added_fields(status: int, theirs: dict[str, str], ours: dict[str, str], verdict: Verdict) -> None:
    """Fields that Onehop adds on purpose, where Pages' answer hasn't got them."""
    if status == 405 and "allow" not in theirs and ours.get("allow") == "GET, HEAD":
        del ours["allow"]
        verdict.allowances.add("3")
    if status == 304:
        for name in ("etag", "cache-control", "vary"):
            if name not in theirs and ours.pop(name, None) is not None:
                verdict.allowances.add("4")
    if "accept-ranges" not in theirs and ours.get("accept-ranges") == "bytes":
        del ours["accept-ranges"]
        verdict.allowances.add("5")
    if "vary" not in theirs and ours.get("vary", "").lower() == "accept-encoding":
        del ours["vary"]
        verdict.allowances.add("6")


def allow_location(site: Site, answer: Answer, theirs: dict[str, str], ours: dict[str, str], verdict: Verdict) -> None:
    their_location, our_location = theirs.get("location"), ours.get("location")
    if their_location is None or our_location is None or their_location == our_location:
        return
    is_uri = URI_CHARACTERS.fullmatch(our_location) is not None
    our_path, mark, our_query = our_location.partition("?")
    if answer.status == 308 and is_uri and their_location == unquote(our_path) + mark + our_query:
        # Theirs is the decoded path as it stands, each character up to U+00FF a byte; ours names that path as a URI.
        verdict.allowances.add("2")
        ours["location"] = their_location
    elif (left := urlsplit(their_location)).netloc and left.netloc not in site.redirects:
        # A splat began with "/", and Pages' answer left the site for a host that no rule names.
        stays = "/" + left.netloc + their_location.partition(left.netloc)[2]
        if our_location.lower() == stays.lower():
            verdict.allowances.add("8b")
            ours["location"] = their_location


def decoded_bodies(
    theirs: Answer, ours: Answer, their_fields: dict[str, str], our_fields: dict[str, str], verdict: Verdict
) -> tuple[bytes, bytes]:
    """Bodies without content coding. Where either side chose one, validators and choices are its own (6)."""
    bodies = []
    for answer, fields in ((theirs, their_fields), (ours, our_fields)):
        coding = fields.get("content-encoding", "")
        bodies.append(DECODERS[coding](answer.body) if coding in DECODERS and answer.body else answer.body)
    if "content-encoding" in their_fields or "content-encoding" in our_fields:
        verdict.allowances.add("6")
        for fields in (their_fields, our_fields):
            fields.pop("content-encoding", None)
            fields.pop("etag", None)
    return bodies[0], bodies[1]
