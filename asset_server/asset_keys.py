"""Asset keys: the hash of bytes and extension under which deploying clients know an asset (pages-serving 10).

A key can be proven only with the extension, which an upload doesn't tell; `prove` tries those that its content type
suggests.
"""

import re
from base64 import b64encode
from typing import Final

from blake3 import blake3

from asset_server.content_type import extensions_of

KEY: Final = re.compile(r"[0-9a-f]{32}")


def asset_key(content: bytes, extension: str) -> str:
    """32 hex digits: the hash that clients compute."""
    return _key_under(_hash_content(content), extension)


def _hash_content(content: bytes) -> blake3:
    return blake3(b64encode(content))


def _key_under(hashed_content: blake3, extension: str) -> str:
    hasher = hashed_content.copy()
    hasher.update(extension.encode("utf-8"))
    return hasher.hexdigest(length=16)


def prove(key: str, content: bytes, content_type: str) -> str | None:
    """The extension under which the bytes have this key, if it is one that goes with the content type."""
    hashed = _hash_content(content)
    likely = extensions_of(content_type)
    for extension in (*likely, "", *(each.upper() for each in likely), *(each.capitalize() for each in likely)):
        if _key_under(hashed, extension) == key:
            return extension
    return None
