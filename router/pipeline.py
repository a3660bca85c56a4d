"""The pipeline of a deployment, and the tiny JSON under which a route stores it.

`{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}`: site 7, its assets by manifest id. Optional members: `f`, a function
bundle in front; `k`, the assets kept from replaced deployments; `p`, a preview host. With its 16-byte key a static
pipeline stays within 80 bytes, which is most of what a deployment costs in the store.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

import orjson

VERSION: Final = 1
CONTENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
"""A manifest's or bundle's id: 16 bytes as unpadded base64url."""
SITE_NO_MAX: Final = 2**32 - 1
MEMBERS: Final = frozenset({"v", "s", "a", "f", "k", "p"})


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
        members: dict[str, object] = {"v": VERSION, "s": self.site_no, "a": self.manifest}
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
        try:
            members = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise PipelineUnreadable(f"not JSON: {error}") from None
        if not isinstance(members, dict) or not members.keys() <= MEMBERS:
            raise PipelineUnreadable("not an object of the known members")
        if members.get("v") != VERSION:
            raise PipelineUnreadable(f"version {members.get('v')!r}, this release reads {VERSION}")
        site_no = members.get("s")
        if type(site_no) is not int or not 0 < site_no <= SITE_NO_MAX:
            raise PipelineUnreadable("site number out of range")
        manifest = parse_content_id(members.get("a"))
        if manifest is None:
            raise PipelineUnreadable("no manifest")
        pipeline = cls(
            site_no=site_no,
            manifest=manifest,
            function=parse_content_id(members.get("f")),
            kept=parse_content_id(members.get("k")),
            is_preview="p" in members,
        )
        if pipeline.encode() != value:  # another order, spaces, a member twice, 1.0 for 1: not by our hand
            raise PipelineUnreadable("not in the one form that this release writes")
        return pipeline


def parse_content_id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or CONTENT_ID.fullmatch(value) is None:
        raise PipelineUnreadable("a content id isn't 22 characters of base64url")
    return value
