"""Function bundles: what wrangler uploads (bundle_format.py) and, here, the folder that keeps them.

Each is one file under an id that is made of what it holds.

| offset | bytes | what |
|---|---|---|
| 0 | 4 | magic |
| 4 | 1 | version |
| 5 | 16 | first bytes of the BLAKE3 of everything after them |
| 21 | 4 | length of the settings, big-endian |
| 25 | … | the settings as JSON, then the bundle as it was uploaded |

A file is written apart, forced to the disk and only then named, so that a name always has whole bytes behind it.
The settings are what the project had for the function when it was deployed; their secrets come and go sealed.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
from blake3 import blake3

from functions.bundle_format import Bundle, content_id, parse_bundle
from functions.bundle_parts import BundleRefused

__all__ = [
    "BundleDamaged",
    "BundleMissing",
    "BundleRefused",
    "BundleStore",
    "BundleStoreFull",
    "StoredBundle",
    "parse_bundle",
]

MAGIC: Final = b"OHFB"
VERSION: Final = 1
CHECKSUM_BYTES: Final = 16
CHECKSUM_OFFSET: Final = len(MAGIC) + 1
LENGTH_OFFSET: Final = CHECKSUM_OFFSET + CHECKSUM_BYTES
LENGTH_BYTES: Final = 4
SETTINGS_OFFSET: Final = LENGTH_OFFSET + LENGTH_BYTES
SUFFIX: Final = ".bundle"
DRAFT_SUFFIX: Final = ".draft"
BUNDLE_NAME: Final = re.compile(r"([A-Za-z0-9_-]{22})\.bundle")
FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class BundleMissing(Exception):
    """No bundle has this id."""

    def __init__(self, bundle_id: str) -> None:
        super().__init__(f"function bundle {bundle_id} is missing; deploy the site again to store it")


class BundleDamaged(Exception):
    """A bundle's file isn't what was stored."""

    def __init__(self, bundle_id: str, problem: str) -> None:
        super().__init__(f"function bundle {bundle_id} is damaged ({problem}); deploy the site again to replace it")


class BundleStoreFull(Exception):
    """The disk had no room for a bundle; nothing of it was kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"no space left for {folder}: free some or run 'onehop gc', then deploy again")


@dataclass(frozen=True, slots=True)
class StoredBundle:
    bundle: Bundle
    settings: Mapping[str, Any] = field(repr=False)


class BundleStore:
    """The bundles of one data folder. Any number of processes may read; one puts and removes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, body: bytes, settings: Mapping[str, Any]) -> str:
        """Its id, once the bundle is stored for good. Raises BundleRefused, BundleStoreFull.

        Deployed again it costs nothing but proving that the file there is whole; a damaged one is replaced.
        """
        encoded_settings = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        bundle_id = content_id(parse_bundle(body), encoded_settings)
        if self.verify(bundle_id) is not None:
            payload = len(encoded_settings).to_bytes(LENGTH_BYTES, "big") + encoded_settings + body
            checksum = blake3(payload).digest(length=CHECKSUM_BYTES)
            self._write(bundle_id, b"".join((MAGIC, bytes([VERSION]), checksum, payload)))
        return bundle_id

    def read(self, bundle_id: str) -> StoredBundle:
        """Raises BundleMissing, BundleDamaged."""
        try:
            content = self._path(bundle_id).read_bytes()
        except FileNotFoundError:
            raise BundleMissing(bundle_id) from None
        if len(content) < SETTINGS_OFFSET or content[: len(MAGIC)] != MAGIC:
            raise BundleDamaged(bundle_id, "not a bundle file")
        if content[len(MAGIC)] != VERSION:
            raise BundleDamaged(bundle_id, f"version {content[len(MAGIC)]}, this release reads {VERSION}")
        if blake3(content[LENGTH_OFFSET:]).digest(length=CHECKSUM_BYTES) != content[CHECKSUM_OFFSET:LENGTH_OFFSET]:
            raise BundleDamaged(bundle_id, "its bytes don't match their checksum")
        settings_end = SETTINGS_OFFSET + int.from_bytes(content[LENGTH_OFFSET:SETTINGS_OFFSET], "big")
        encoded_settings = content[SETTINGS_OFFSET:settings_end]
        try:
            settings, bundle = orjson.loads(encoded_settings), parse_bundle(content[settings_end:])
        except (orjson.JSONDecodeError, BundleRefused) as error:
            raise BundleDamaged(bundle_id, str(error)) from None
        if content_id(bundle, encoded_settings) != bundle_id:
            raise BundleDamaged(bundle_id, "it holds another bundle")
        return StoredBundle(bundle, settings)

    def verify(self, bundle_id: str) -> str | None:
        """What is wrong with a bundle; None when it is whole."""
        try:
            self.read(bundle_id)
        except (BundleMissing, BundleDamaged) as error:
            return str(error)
        return None

    def ids(self) -> Iterator[str]:
        """Every stored bundle's, in no order; none where the folder isn't there."""
        try:
            paths = list(self._root.iterdir())
        except FileNotFoundError:
            return
        for path in paths:
            if (match := BUNDLE_NAME.fullmatch(path.name)) is not None:
                yield match[1]

    def remove(self, bundle_id: str) -> None:
        """Nothing happens when it isn't there."""
        self._path(bundle_id).unlink(missing_ok=True)

    def remove_drafts(self, before_s: float) -> int:
        """Takes away what processes that were killed while writing left before `before_s` (Unix time)."""
        drafts = [path for path in self._root.glob(f"*{DRAFT_SUFFIX}") if path.stat().st_mtime < before_s]
        for path in drafts:
            path.unlink(missing_ok=True)
        return len(drafts)

    def _path(self, bundle_id: str) -> Path:
        name = f"{bundle_id}{SUFFIX}"
        if BUNDLE_NAME.fullmatch(name) is None:
            raise BundleMissing(bundle_id)
        return self._root / name

    def _write(self, bundle_id: str, content: bytes) -> None:
        draft = self._root / f"{uuid4().hex}{DRAFT_SUFFIX}"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                draft.replace(self._path(bundle_id))
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(self._root)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise BundleStoreFull(self._root) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
