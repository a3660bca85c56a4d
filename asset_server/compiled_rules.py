"""The frame around a deployment's compiled rules, as a manifest keeps them.

| offset | bytes | what |
|---|---|---|
| 0 | 4 | magic: which rules these are |
| 4 | 1 | version |
| 5 | 8 | first bytes of the BLAKE3 of the rest |
| 13 | … | JSON: a list, one entry a rule, in the file's order |

No rules are no bytes. A manifest is proven against its id before it is read, so a frame that doesn't fit means a
release that writes another version, or a fault of ours; either is that deployment's damage, not a guess at its rules.
"""

from collections.abc import Sequence
from typing import Final

import orjson
from blake3 import blake3

from asset_server.manifest import ManifestCorrupt

VERSION: Final = 1
MAGIC_BYTES: Final = 4
CHECKSUM_BYTES: Final = 8
CHECKSUM_OFFSET: Final = MAGIC_BYTES + 1
PAYLOAD_OFFSET: Final = CHECKSUM_OFFSET + CHECKSUM_BYTES


class RulesUnreadable(ManifestCorrupt):
    """Compiled rules that this release didn't write, or that were damaged since."""


def encode_frame(magic: bytes, rules: Sequence[object]) -> bytes:
    if not rules:
        return b""
    payload = orjson.dumps(rules)
    return b"".join((magic, bytes([VERSION]), blake3(payload).digest(length=CHECKSUM_BYTES), payload))


def decode_frame(magic: bytes, data: bytes) -> list[object]:
    """Raises RulesUnreadable."""
    if not data:
        return []
    if len(data) < PAYLOAD_OFFSET or data[:MAGIC_BYTES] != magic:
        raise RulesUnreadable(f"compiled rules don't begin with {magic!r}")
    if data[MAGIC_BYTES] != VERSION:
        raise RulesUnreadable(f"compiled rules are of version {data[MAGIC_BYTES]}, this release reads {VERSION}")
    payload = data[PAYLOAD_OFFSET:]
    if blake3(payload).digest(length=CHECKSUM_BYTES) != data[CHECKSUM_OFFSET:PAYLOAD_OFFSET]:
        raise RulesUnreadable("compiled rules don't match their checksum")
    rules = orjson.loads(payload)
    if not isinstance(rules, list):
        raise RulesUnreadable("compiled rules are no list")
    return rules
