"""The Link header of an HTML asset: what its own `<link>` elements ask to be fetched early (pages-serving 6.4).

Pages scans after the first answer and keeps the result in a cache. Here the scan is part of storing the asset, so the
header is there from the first request on, also after a HEAD.

The scanner is the part of an HTML tokenizer that this needs (comments, raw text, tags with quoted attributes) and
linear in its input. What it copies into the header is percent-encoded or left out, never trusted.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import quote, urljoin

from asset_server.blob_file import LINKS_BYTES_MAX

SCANNED_BYTES_MAX: Final = 1024 * 1024
"""What comes later in a page is no use as an early hint, and a page may have 25 MiB."""
HINTS_MAX: Final = LINKS_BYTES_MAX // len('<a>; rel="preload"')
"""More never fit into the field."""
EARLY_RELATIONS: Final = frozenset({"preconnect", "preload", "modulepreload"})
LINK_ATTRIBUTES: Final = frozenset({"rel", "as", "href"})
"""With any other (crossorigin, type, media, …) a browser's own fetch would differ from the hinted one."""

TAG: Final = re.compile(
    rb"""<(/?[a-z][^\s/>]*+)
         ((?: [\s/]++
            | [^\s/>][^\s/>=]*+ (?: \s*+ = \s*+ (?: "[^"]*+(?:"|\Z) | '[^']*+(?:'|\Z) | [^\s>"'] [^\s>]*+ )?+ )?+
         )*+)>""",
    re.IGNORECASE | re.VERBOSE,
)
ATTRIBUTE: Final = re.compile(
    rb"""([^\s/>][^\s/>=]*+) (?: \s*+ = \s*+ (?: "([^"]*+)" | '([^']*+)' | ([^\s>"'][^\s>]*+) )?+ )?+""", re.VERBOSE
)
EARLY_WORD: Final = re.compile(rb"preconnect|preload", re.IGNORECASE)  # "modulepreload" holds the second
COMMENT_END: Final = re.compile(rb"--!?>")
RAW_TEXT_END: Final = {
    name: re.compile(rb"</" + name + rb"(?=[\s/>])", re.IGNORECASE)
    for name in (b"script", b"style", b"title", b"textarea", b"iframe", b"xmp", b"noembed", b"noframes", b"noscript")
}
"""Elements whose content is text. noscript too: who follows the hint runs scripts."""

RELATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
DESTINATION: Final = re.compile(r"[A-Za-z-]+")
HREF_SAFE: Final = "!#$%&'()*+,/:;=?@[]~"
"""Beside letters, digits and "_.-": what a URI is made of. The rest, such as ">", is percent-encoded."""
IGNORED_IN_URLS: Final = str.maketrans("", "", "\t\r\n")  # as browsers do
BLANKS: Final = "".join(map(chr, range(0x21)))


def early_hint_links(html: bytes) -> str:
    """The value of the Link field, ASCII, at most LINKS_BYTES_MAX long (later links are left out), or ""."""
    html = html[:SCANNED_BYTES_MAX]
    if EARLY_WORD.search(html) is None:
        return ""
    base: str | None = None
    hints: list[_Hint] = []
    for name, attributes in _tags(html):
        if name == b"base":
            if base is None:
                base = attributes.get("href")
        elif len(hints) < HINTS_MAX and (hint := _hint(attributes)) is not None:
            hints.append(hint)
    if base is not None and len(base) > LINKS_BYTES_MAX:
        return ""
    value = ""
    for hint in hints:
        rendered = _render(hint, base)
        if rendered is not None:
            longer = f"{value}, {rendered}" if value else rendered
            if len(longer) > LINKS_BYTES_MAX:
                break
            value = longer
    return value


@dataclass(frozen=True, slots=True)
class _Hint:
    """A link that is worth a hint. `terms` is what follows its address in the field."""

    href: str
    terms: str


def _hint(attributes: Mapping[str, str]) -> _Hint | None:
    """None for links that ask for no early fetch, and for those that can't be written safely."""
    if not attributes.keys() <= LINK_ATTRIBUTES or len(attributes.get("href", "")) > LINKS_BYTES_MAX:
        return None
    words = attributes.get("rel", "").split()
    href, relation, destination = _address(attributes.get("href", "")), " ".join(words), attributes.get("as", "")
    if EARLY_RELATIONS.isdisjoint(word.lower() for word in words) or RELATION.fullmatch(relation) is None:
        return None
    if not href or href.lower().startswith("data:"):
        return None
    if destination and DESTINATION.fullmatch(destination) is None:
        return None
    return _Hint(href, f'; rel="{relation}"' + (f"; as={destination}" if destination else ""))


def _render(hint: _Hint, base: str | None) -> str | None:
    """None for what no URL parser takes, and for what a base has made into data."""
    href = hint.href
    if base is not None:
        try:
            href = urljoin(_address(base), href)
        except ValueError:
            return None
        if not href or href.lower().startswith("data:"):
            return None
    return f"<{quote(href.encode('utf-8', 'surrogateescape'), safe=HREF_SAFE)}>{hint.terms}"


def _address(text: str) -> str:
    """Without what browsers pass over in a URL."""
    return text.strip(BLANKS).translate(IGNORED_IN_URLS)


def _tags(html: bytes) -> Iterator[tuple[bytes, dict[str, str]]]:
    """The `link` and `base` start tags of a document, in order."""
    # Mostly the head: nothing after the last of them matters, and most of a page comes after.
    lower = html.lower()
    end = max(lower.rfind(b"<link"), lower.rfind(b"<base"))
    position = 0
    while (position := html.find(b"<", position)) != -1 and position <= end:
        if html.startswith(b"<!--", position):
            match = COMMENT_END.search(html, position + 2)  # "<!-->" is a whole comment
        elif not lower[position + 1 : position + 2].isalpha():
            position += 1
            continue
        else:
            match = TAG.match(html, position)
            if match is not None:
                name = match[1].lower()
                if name in (b"link", b"base"):
                    yield name, _attributes(match[2])
                elif (raw_text_end := RAW_TEXT_END.get(name)) is not None:
                    match = raw_text_end.search(html, match.end())
        if match is None:
            return  # a comment, tag or raw text that never ends takes the rest with it
        position = match.end()


def _attributes(source: bytes) -> dict[str, str]:
    """Names in lower case; of a repeated one the first counts."""
    attributes: dict[str, str] = {}
    for match in ATTRIBUTE.finditer(source):
        value = match[2] or match[3] or match[4] or b""
        name = match[1].decode("utf-8", "surrogateescape").lower()
        attributes.setdefault(name, unescape(value.decode("utf-8", "surrogateescape")))
    return attributes
