"""The pipeline of a deployment, and the tiny JSON under which a route stores it.

`{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}`: site 7, its assets by manifest id. Optional members: `f`, a function
bundle in front; `k`, the assets kept from replaced deployments; `p`, a preview host. With its 16-byte key a static
pipeline stays within 80 bytes, which is most of what a deployment costs in the store.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

import orjson

SITE_NO_MAX: Final = 2**32 - 1
CONTENT_ID: Final = rb"[A-Za-z0-9_-]{22}"  # a manifest's or bundle's id: 16 bytes as unpadded base64url
STORED: Final = re.compile(
    rb'\{"v":1,"s":([1-9][0-9]{0,9}),"a":"(' + CONTENT_ID + rb')"'
    rb'(?:,"f":"(' + CONTENT_ID + rb')")?(?:,"k":"(' + CONTENT_ID + rb')")?(,"p":1)?\}'
)
"""What `Pipeline.encode` writes, to the byte: stricter than a JSON parser with checks after it, and faster."""


class PipelineUnreadable(ValueError):
    """A stored pipeline isn't what `Pipeline.encode` writes: damaged, or of a newer version."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What runs for a hostname: the asset server over `manifest`, with an optional `function` bundle in front."""

    site_no: int
    manifest: str
    function: str | None = None
    kept: str | None = None
    is_preview: bool = False

    def encode(self) -> bytes:
        members: dict[str, object] = {"v": 1, "s": self.site_no, "a": self.manifest}
        if self.function is not None:
            members["f"] = self.function
        if self.kept is not None:
            members["k"] = self.kept
        if self.is_preview:
            members["p"] = 1
        return orjson.dumps(members)

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Raises PipelineUnreadable; never guesses at a value that isn't exactly of the known form."""
        match = STORED.fullmatch(value)
        if match is None or int(match[1]) > SITE_NO_MAX:
            raise PipelineUnreadable(f"{value[:64]!r} isn't what this release writes; damaged, or of a newer one")
        site_no, manifest, function, kept, preview = match.groups()
        return cls(
            site_no=int(site_no),
            manifest=manifest.decode("ascii"),
            function=function.decode("ascii") if function is not None else None,
            kept=kept.decode("ascii") if kept is not None else None,
            is_preview=preview is not None,
        )
