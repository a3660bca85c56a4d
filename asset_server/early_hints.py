"""The Link header of an HTML asset: what its own `<link>` elements ask to be fetched early (pages-serving 6.4).

Pages scans after the first answer and keeps the result in a cache. Here the scan is part of storing the asset, so the
header is there from the first request on, also after a HEAD.

The scanner is the part of an HTML tokenizer that this needs (comments, raw text, tags with quoted attributes) and
linear in its input. What it copies into the header is percent-encoded or left out, never trusted.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final
from urllib.parse import quote, urljoin

from asset_server.blob_file import LINKS_BYTES_MAX

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
    if EARLY_WORD.search(html) is None:
        return ""
    base: str | None = None
    links: list[dict[str, str]] = []
    for name, attributes in _tags(html):
        if name == b"link" and _is_early(attributes):
            links.append(attributes)
        elif name == b"base" and base is None and "href" in attributes:
            base = attributes["href"]
    value = ""
    for link in links:
        rendered = _render(link, base)
        if rendered is not None:
            longer = f"{value}, {rendered}" if value else rendered
            if len(longer) > LINKS_BYTES_MAX:
                break
            value = longer
    return value


def _is_early(attributes: dict[str, str]) -> bool:
    return (
        attributes.keys() <= LINK_ATTRIBUTES
        and bool(attributes.get("href"))
        and not EARLY_RELATIONS.isdisjoint(attributes.get("rel", "").lower().split())
    )


def _render(link: dict[str, str], base: str | None) -> str | None:
    """None for what can't be written safely."""
    href = link["href"].strip(BLANKS).translate(IGNORED_IN_URLS)
    if base is not None:
        try:
            href = urljoin(base.strip(BLANKS).translate(IGNORED_IN_URLS), href)
        except ValueError:  # a base or href that no URL parser takes
            return None
    relation, destination = " ".join(link["rel"].split()), link.get("as", "")
    if not href or href.lower().startswith("data:") or RELATION.fullmatch(relation) is None:
        return None
    if destination and DESTINATION.fullmatch(destination) is None:
        return None
    target = quote(href.encode("utf-8", "surrogateescape"), safe=HREF_SAFE)
    return f'<{target}>; rel="{relation}"' + (f"; as={destination}" if destination else "")


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
