"""URLs in rule files: what a line's source or destination becomes when it is read, and where a destination leads.

A destination is parsed twice, as Pages does it. When the file is read, its path, query and fragment are normalised
under a scheme that isn't special, so that a backslash stays and its host isn't looked at. When a request has filled
its placeholders, the whole is read as an https URL: the host gets its one form, backslashes become slashes.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

import idna

from asset_server.url import (
    QUERY_ENCODED,
    normalise_path,
    normalise_special_query,
    percent_encode,
)

ABSOLUTE_START: Final = "https://"
ABSOLUTE: Final = re.compile("https:///*([^/]+)/?([^\n\r\u2028\u2029]*)")
PLAIN_PATH: Final = re.compile(r"(?:/(?!(?:\.|%2[Ee]){1,2}(?:/|\Z))[!$&-.0-;=@-_a-z|~%]*+)++")
"""A path that normalises to itself."""
RULE_PATH_ENCODED: Final = re.compile(rb'[\x00-\x20"#<>?`{}\x7f-\xff]')
"""Without the "^" that requests have encoded: what reads and resolves rules for Pages has the path percent-encode set
of before 2024. So a source with "^" matches nothing, as one with a backslash; its author can write %5E."""
FRAGMENT_ENCODED: Final = re.compile(rb'[\x00-\x20"<>`\x7f-\xff]')
USERINFO_ENCODED: Final = re.compile(rb'[\x00-\x20"#/:;<=>?@\[\\\]^`{|}\x7f-\xff]')
OUTER_IGNORED: Final = "".join(map(chr, range(0x21)))
INNER_IGNORED: Final = str.maketrans("", "", "\t\n\r")
AUTHORITY: Final = re.compile(r"https:[/\\]*([^/\\?#]*)(.*)", re.DOTALL)
PORT: Final = re.compile(r"0*([0-9]{0,5})")
PORT_MAX: Final = 65_535
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
FORBIDDEN_IN_HOST: Final = re.compile(r"[\x00-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")
"""WHATWG URL 3.5, forbidden domain code points, and those that no URI has in a host."""
LEADING_SLASHES: Final = re.compile(r"//+")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a redirect leads. `origin` is None for a path of the same host; `userinfo` is "" or ends in "@"."""

    origin: str | None
    userinfo: str
    path: str
    query: str
    fragment: str

    def location(self, *, origin: str, query: str) -> str:
        """The Location value for a request to `origin` with `query`: the destination's own query goes first, never
        both. A path of this host begins with exactly one slash, so that no browser reads a host into it."""
        tail = f"{self.query or query}{self.fragment}"
        if self.origin is None or self.origin == without_default_port(origin):
            return LEADING_SLASHES.sub("/", self.path, count=1) + tail if self.path[:2] == "//" else self.path + tail
        scheme, _, authority = self.origin.partition("://")
        return f"{scheme}://{self.userinfo}{authority}{self.path}{tail}"


def normalise_rule_path(text: str) -> tuple[str, str, str]:
    """Path, query and fragment of a path as a rule file has it; the last two "" or with their mark and a character."""
    if PLAIN_PATH.fullmatch(text) is not None:
        return text, "", ""
    text = text.strip(OUTER_IGNORED).translate(INNER_IGNORED)
    text, _, fragment = text.partition("#")
    path, _, query = text.partition("?")
    if not path.startswith("/"):
        path = f"/{path}"
    return (
        normalise_path(path.encode("utf-8"), RULE_PATH_ENCODED),
        f"?{percent_encode(query.encode('utf-8'), QUERY_ENCODED)}" if query else "",
        f"#{percent_encode(fragment.encode('utf-8'), FRAGMENT_ENCODED)}" if fragment else "",
    )


def split_absolute(text: str) -> tuple[str, str] | None:
    """Host and the rest of "https://…", both as written; None when it isn't of that form."""
    match = ABSOLUTE.match(text)
    return None if match is None else (match[1], match[2])


def host_part(destination: str) -> str:
    """The host of a destination as written, with port and userinfo; "" where it has none."""
    return destination[len(ABSOLUTE_START) :].partition("/")[0] if destination.startswith(ABSOLUTE_START) else ""


def resolve(destination: str) -> Destination | None:
    """Where a filled destination leads; None when it is no URL, which only its host can be to blame for.

    Without a host it stays on the request's, whatever it begins with (differences 8b).
    """
    if not destination.startswith("https:"):
        return Destination(None, "", *_special_parts(destination))
    match = AUTHORITY.fullmatch(destination)
    if match is None:
        return None
    userinfo, at, host_and_port = match[1].rpartition("@")
    host, port = _split_port(host_and_port)
    normal_host = normalise_host(host)
    normal_port = _normalise_port(port)
    if normal_host is None or normal_port is None:
        return None
    return Destination(
        f"https://{normal_host}{normal_port}",
        f"{_normalise_userinfo(userinfo)}@" if at and userinfo else "",
        *_special_parts(match[2]),
    )


def without_default_port(origin: str) -> str:
    scheme, _, authority = origin.partition("://")
    return origin.removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}") if ":" in authority else origin


def normalise_host(host: str) -> str | None:
    """A host in its one ASCII form (WHATWG URL 3.5); None when it isn't one."""
    if host.startswith("["):
        try:
            return f"[{IPv6Address(host[1:-1]).compressed}]" if host.endswith("]") and "%" not in host else None
        except AddressValueError:
            return None
    decoded = unquote_to_bytes(host).decode("utf-8", "replace") if "%" in host else host
    try:
        ascii_host = decoded.lower() if decoded.isascii() else _domain_to_ascii(decoded)
    except (idna.IDNAError, UnicodeError):
        return None
    return None if not ascii_host or FORBIDDEN_IN_HOST.search(ascii_host) is not None else ascii_host


def _domain_to_ascii(domain: str) -> str:
    """UTS 46 without the rules of registries, as browsers have it: `❤.example` is a name, though none may be sold."""
    mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}" for label in mapped.split(".")
    )


def _split_port(host_and_port: str) -> tuple[str, str]:
    bracket = host_and_port.rfind("]")
    colon = host_and_port.find(":", bracket + 1)
    return (host_and_port, "") if colon == -1 else (host_and_port[:colon], host_and_port[colon + 1 :])


def _normalise_port(port: str) -> str | None:
    """ "" for none and for https's own, otherwise with its colon; None when it isn't a port."""
    match = PORT.fullmatch(port)
    if match is None or int(match[1] or 0) > PORT_MAX:
        return None
    return "" if not port or int(match[1] or 0) == DEFAULT_PORTS["https"] else f":{int(match[1] or 0)}"


def _normalise_userinfo(userinfo: str) -> str:
    user, colon, password = userinfo.partition(":")
    parts = [percent_encode(part.encode("utf-8"), USERINFO_ENCODED) for part in (user, password)]
    return f"{parts[0]}:{parts[1]}" if colon and password else parts[0]


def _special_parts(text: str) -> tuple[str, str, str]:
    """Path, query and fragment as an http or https URL has them."""
    text, _, fragment = text.partition("#")
    path, _, query = text.partition("?")
    if not path.startswith(("/", "\\")):
        path = f"/{path}"
    return (
        normalise_path(path.replace("\\", "/").encode("utf-8"), RULE_PATH_ENCODED),
        normalise_special_query(query.encode("utf-8")),
        f"#{percent_encode(fragment.encode('utf-8'), FRAGMENT_ENCODED)}" if fragment else "",
    )
