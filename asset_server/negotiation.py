"""Accept-Encoding: which of an asset's representations a client gets (RFC 9110 12.5.3).

Parsed on bytes, whole, element by element; an element outside the grammar says nothing and is passed over, so that
what is left can only make the answer plainer.
"""

import re
from collections.abc import Sequence
from typing import Final

from asset_server.manifest import Encodings

ELEMENTS_MAX: Final = 64  # of one request; what comes after is ignored
WEIGHT_MAX: Final = 1000  # a q-value in thousandths

ELEMENT: Final = re.compile(
    rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)
CODING_NAMES: Final = {
    Encodings.BR: (b"br",),
    Encodings.ZSTD: (b"zstd",),
    Encodings.GZIP: (b"gzip", b"x-gzip"),  # RFC 9110 8.4.1.3: the same coding
}
"""In the order of our preference among equal weights: at the levels of `variants`, the smaller first."""
EVERY_SET: Final = tuple(Encodings(bits) for bits in range(int(~Encodings.NONE) + 1))
REFUSES_ALL: Final = 0xFF
IDENTITY: Final = b"identity"
ANY: Final = b"*"


def parse_accept_encoding(field_lines: Sequence[bytes]) -> dict[bytes, int]:
    """The weight of each coding named, lower case, in thousandths. Named twice, the lower weight holds."""
    weights: dict[bytes, int] = {}
    for element in b",".join(field_lines).split(b",", ELEMENTS_MAX)[:ELEMENTS_MAX]:
        match = ELEMENT.fullmatch(element)
        if match is None:
            continue
        name = match[1].lower()
        weight = WEIGHT_MAX if match[2] is None else _thousandths(match[2])
        weights[name] = min(weight, weights.get(name, WEIGHT_MAX))
    return weights


def _thousandths(weight: bytes) -> int:
    whole, _, fraction = weight.partition(b".")
    return int(whole) * WEIGHT_MAX + int(fraction.ljust(3, b"0"))


def choose_encoding(field_lines: Sequence[bytes], available: Encodings) -> Encodings | None:
    """The representation of greatest weight; None when the client refuses identity and all that is available (406).

    Without the field identity is sent: any coding would be allowed, but a client that can decode one says so.
    """
    if not field_lines:
        return Encodings.NONE
    weights = parse_accept_encoding(field_lines)
    others = weights.get(ANY, 0)
    best, best_weight = None, 0
    for encoding, names in CODING_NAMES.items():
        if encoding in available:
            weight = max((weights[name] for name in names if name in weights), default=others)
            if weight > best_weight:
                best, best_weight = encoding, weight
    # Identity is acceptable unless refused, by name or by "*"; unless named it is no one's first choice.
    identity_weight = weights.get(IDENTITY, weights.get(ANY))
    if best is None:
        return None if identity_weight == 0 else Encodings.NONE
    return Encodings.NONE if weights.get(IDENTITY, 0) > best_weight else best


def choices_of(field_lines: Sequence[bytes]) -> bytes:
    """What `choose_encoding` says to each set of available encodings, a byte each: all that an answer can learn from
    Accept-Encoding, so that spellings which mean the same needn't be told apart."""
    choices = (choose_encoding(field_lines, available) for available in EVERY_SET)
    return bytes(REFUSES_ALL if choice is None else choice for choice in choices)
