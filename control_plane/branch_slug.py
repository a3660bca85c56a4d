"""A branch's name to the first label of its host. Pure, so that anyone can tell the address before a build.

The algorithm is Pages' own (lower case; each character but a-z, 0-9 and `-` becomes `-`; no `-` at either end), with
three differences, all of which end the slug in six hex digits of the branch name's SHA-256: it was too long (13), it
looks like a deployment's short id (14), or another branch already has it (15). From a shell:
`printf %s "$BRANCH" | sha256sum | cut -c1-6`. So does one that begins with `xn--`, which DNS reserves for names that
are something else in another script: it loses a dash there.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

SLUG_CHARACTERS_MAX: Final = 28
HASH_CHARACTERS: Final = (6, 10, 16)  # the longer ones are for the case that even six digits collide
STEM_OF_NO_NAME: Final = "branch"
HASH_CHARACTERS_OF_NO_NAME: Final = (10, 16)
OUTSIDE: Final = re.compile(r"[^a-z0-9-]")
RESERVED_PREFIX: Final = "xn--"  # RFC 5890 2.3.2.1
SHORT_ID: Final = re.compile(r"[0-9a-f]{8}")


def slug_candidates(branch: str) -> Iterator[str]:
    """The slugs that `branch` may have, most wanted first; it gets the first that no other branch owns."""
    stem = OUTSIDE.sub("-", branch.lower()).strip("-")
    is_reserved = stem.startswith(RESERVED_PREFIX)
    if is_reserved:
        stem = "xn-" + stem.removeprefix(RESERVED_PREFIX).lstrip("-")
    if stem and len(stem) <= SLUG_CHARACTERS_MAX and SHORT_ID.fullmatch(stem) is None and not is_reserved:
        yield stem
    digits = sha256(branch.encode("utf-8", "surrogatepass")).hexdigest()
    for length in HASH_CHARACTERS if stem else HASH_CHARACTERS_OF_NO_NAME:
        yield f"{(stem or STEM_OF_NO_NAME)[: SLUG_CHARACTERS_MAX - length - 1]}-{digits[:length]}"
