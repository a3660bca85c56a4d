"""The store of blobs: one file per asset key, written once, shared by every deployment and site that has the asset.

    blobs/ab/abcdef….blob           proven: the key was computed from these bytes and an extension
    uploads/<scope>/abcdef….blob    the bytes are here, no extension has proven the key yet; only this scope sees it
    uploads/tmp/                    being written
    blobs.lock                      shared from a deploy's claim to its commit, exclusive while blobs are collected

An asset key is a hash of the bytes *and* of the file's extension, which an upload doesn't tell. `put_many` tries the
extensions that go with the upload's content type; `claim`, which knows the path, settles the rest. So a key can't be
filled with other bytes by whoever comes first.

What `put_many` and `claim` have returned survives a power cut (see `durable`).
"""

import errno
import fcntl
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lru import LRU

from asset_server.asset_keys import KEY, asset_key, prove
from asset_server.blob_file import BlobHeader, BlobUnreadable, checksum, encode_blob
from asset_server.blob_folder import (
    SUFFIX,
    BlobFolder,
    parse_header_of,
    problem_of,
    read_header,
    read_identity,
    touch,
)
from asset_server.content_type import content_type_of, extension_of
from asset_server.durable import DurableBatch, reporting_full_disk
from asset_server.early_hints import early_hint_links
from asset_server.manifest import ASSET_BYTES_MAX, Asset, Encodings, validate_manifest_path
from asset_server.mapped_file import SharedMaps
from asset_server.variants import variants_of

SCOPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
TEMPORARY_FOLDER: Final = "tmp"
ASKED_AGAIN_SUFFIX: Final = ".again"  # in uploads/<scope>/: a claim found other bytes under the key, upload yours
MAPPED_BYTES_MIN: Final = 64 * 1024  # longer bodies are maps of the file rather than copies
SETTLED_BYTES_MAX: Final = 64 * 1024 * 1024  # uploads that a claim holds in memory at a time
PROVEN_OPENS_MAX: Final = 65_536  # representations remembered as proven since this process started
WORKERS: Final = os.cpu_count() or 1
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class BlobDamaged(Exception):
    """A manifest needs a blob that can't be read. `key` says which."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"blob {key} {problem}; 'onehop check' names the deployments that need it, deploy them again")
        self.key, self.problem = key, problem


class BlobMissing(BlobDamaged):
    """It isn't there."""

    def __init__(self, key: str) -> None:
        super().__init__(key, "is missing")


class BlobCorrupt(BlobDamaged):
    """Its bytes aren't those that were written."""


class BlobsExhausted(Exception):
    """No descriptor or map is left to open one with. It passes."""


class UploadRefused(ValueError):
    """An upload can't be stored, whatever the manifest will say."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"upload {key[:64]!r} {reason}")
        self.key, self.reason = key, reason


@dataclass(frozen=True, slots=True)
class Upload:
    """`key` is what the client calls the bytes; `content_type` only says which extensions to try."""

    key: str
    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class ClaimRefusal:
    """`reason` follows the path in a message."""

    path: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Either every path's asset, or why some can't be had (then `assets` isn't to be used)."""

    assets: dict[str, Asset] = field(default_factory=dict)
    refusals: list[ClaimRefusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Collected:
    """Counts of files: those that went, and those that nothing needs but that are too young to go."""

    removed: int
    young: int


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """`links` is the Link value that was found in an HTML asset when it was stored, or ""."""

    body: bytes | memoryview
    links: str


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Bytes to be stored; `extension` is the one that proves the key, None when it isn't known yet."""

    key: str
    content: bytes
    extension: str | None


class BlobStore:
    """Safe in threads and processes: files appear whole, under names that only such bytes can have."""

    def __init__(self, root: Path) -> None:
        """`root` is the data folder; its `blobs/` and `uploads/` are made if they aren't there."""
        self._data_folder = root
        self._blobs = BlobFolder(root / "blobs")
        self._uploads = root / "uploads"
        self._lock_path = root / "blobs.lock"
        self._blobs.create()
        (self._uploads / TEMPORARY_FOLDER).mkdir(parents=True, exist_ok=True)
        self._proven_opens: LRU[tuple[bytes, Encodings], int] = LRU(PROVEN_OPENS_MAX)
        self._maps = SharedMaps()

    def missing(self, keys: Iterable[str], *, scope: str) -> list[str]:
        """Those of `keys`, in order and each once, that must be uploaded. Refreshes the age of the others."""
        folder = self._scope_folder(scope)
        with self.claiming():
            asked_again = {file.stem for file in folder.glob("*" + ASKED_AGAIN_SUFFIX)}
            return [
                key
                for key in dict.fromkeys(keys)
                if KEY.fullmatch(key) is None
                or not (touch(folder / (key + SUFFIX)) or (key not in asked_again and touch(self._blobs.file(key))))
            ]

    def put_many(self, uploads: Sequence[Upload], *, scope: str) -> None:
        """Store all or raise: UploadRefused before anything is written, StoreFull with nothing left behind.

        `scope` names who uploads (a site): what can't be proven yet is kept for it alone.
        """
        folder = self._scope_folder(scope)
        for upload in uploads:
            if KEY.fullmatch(upload.key) is None:
                raise UploadRefused(upload.key, "has no key of 32 lower-case hex digits")
            if len(upload.content) > ASSET_BYTES_MAX:
                raise UploadRefused(upload.key, f"has {len(upload.content)} bytes, the limit is {ASSET_BYTES_MAX}")
        distinct = {upload.key: upload for upload in uploads}.values()
        arrivals = [
            _Arrival(each.key, each.content, prove(each.key, each.content, each.content_type)) for each in distinct
        ]
        with self.claiming(), reporting_full_disk(self._data_folder):
            self._store(arrivals, folder)

    def claim(self, wanted: Iterable[tuple[str, str]], *, scope: str) -> Claim:
        """Prove that each (path, key) names bytes that are here and whose hash is the key. Call it, and commit the
        manifest made of it, inside `claiming()`."""
        folder = self._scope_folder(scope)
        claim = Claim()
        unproven: list[tuple[str, str]] = []
        for path, key in wanted:
            problem = validate_manifest_path(path)
            if problem is None and KEY.fullmatch(key) is None:
                problem = "has a key that isn't 32 lower-case hex digits"
            if problem is not None:
                claim.refusals.append(ClaimRefusal(path, key, problem))
            elif (header := self._blobs.proven(key, extension_of(path))) is not None:
                claim.assets[path] = _asset(path, key, header)
            else:
                unproven.append((path, key))
        if unproven:
            with reporting_full_disk(self._data_folder):
                self._prove_uploads({(key, extension_of(path)) for path, key in unproven}, folder)
        for path, key in unproven:
            if (header := self._blobs.proven(key, extension_of(path))) is not None:
                claim.assets[path] = _asset(path, key, header)
            else:
                claim.refusals.append(ClaimRefusal(path, key, self._why_unproven(key, folder)))
        return claim

    def _prove_uploads(self, wanted: Iterable[tuple[str, str]], folder: Path) -> None:
        """Settle this scope's unproven uploads, now that paths have told their extensions."""
        arrivals: list[_Arrival] = []
        bytes_held = 0
        for key, extension in wanted:
            content = read_identity(folder / (key + SUFFIX))
            if content is None or asset_key(content, extension) != key:
                continue
            arrivals.append(_Arrival(key, content, extension))
            bytes_held += len(content)
            if bytes_held >= SETTLED_BYTES_MAX:
                self._settle(arrivals, folder)
                arrivals, bytes_held = [], 0
        self._settle(arrivals, folder)

    def _settle(self, arrivals: Sequence[_Arrival], folder: Path) -> None:
        self._store(arrivals, folder)
        for arrival in arrivals:
            (folder / (arrival.key + SUFFIX)).unlink(missing_ok=True)

    def _why_unproven(self, key: str, folder: Path) -> str:
        """To follow the path in a message. Whatever the reason, `missing` asks for the key at the next try."""
        upload = folder / (key + SUFFIX)
        if upload.exists():
            upload.unlink(missing_ok=True)
            return "has a key that isn't the hash of the bytes uploaded for it and of its extension; deploy again"
        if not self._blobs.file(key).exists():
            return "has a key whose bytes were not uploaded; deploy again"
        with reporting_full_disk(self._data_folder):
            folder.mkdir(exist_ok=True)
            (folder / (key + ASKED_AGAIN_SUFFIX)).touch()
        return "has a key that is stored with another extension; deploy again, its own bytes will then be asked for"

    def _store(self, arrivals: Sequence[_Arrival], folder: Path) -> None:
        with DurableBatch(self._uploads / TEMPORARY_FOLDER) as batch, ThreadPoolExecutor(WORKERS) as pool:

            def write(arrival: _Arrival) -> Path | None:
                return None if self._is_stored(arrival) else batch.write(_render_blob(arrival))

            written = list(pool.map(write, arrivals))
            batch.sync_files()
            for arrival, file in zip(arrivals, written, strict=True):
                if file is None:
                    continue
                if arrival.extension is None:
                    folder.mkdir(exist_ok=True)
                    batch.replace(file, folder / (arrival.key + SUFFIX))
                else:
                    self._publish(batch, file, arrival)
                    (folder / (arrival.key + ASKED_AGAIN_SUFFIX)).unlink(missing_ok=True)
            batch.sync_folders()

    def _is_stored(self, arrival: _Arrival) -> bool:
        """Also makes a later upload of the same bytes the cure for a damaged blob."""
        path = self._blobs.file(arrival.key)
        header = read_header(path)
        if header is None or header.extension is None or header.extension != arrival.extension:
            return False
        return touch(path) and problem_of(path, arrival.key) is None

    def _publish(self, batch: DurableBatch, file: Path, arrival: _Arrival) -> None:
        """Under its key; beside other bytes that have the same key; over bytes that are damaged."""
        for target in self._blobs.candidates(arrival.key, len(arrival.content)):
            try:
                batch.publish(file, target)
            except FileExistsError:
                if problem_of(target, arrival.key) is not None:
                    batch.replace(file, target)
                elif (header := read_header(target)) is not None and header.extension != arrival.extension:
                    continue
            return

    def open(self, asset: Asset, encoding: Encodings) -> OpenBlob:
        """One representation, its bytes proven at its first opening in this process.

        Raises BlobMissing, BlobCorrupt, BlobsExhausted. Longer bodies are read-only maps of the file, which live as
        long as a view of them. Nothing ever shortens a blob in place (they are replaced and removed by name), so a map
        can't lose its pages.
        """
        try:
            return self._open(asset, encoding)
        except OSError as error:
            raise BlobsExhausted(error.strerror) if error.errno in EXHAUSTED else error from None

    def _open(self, asset: Asset, encoding: Encodings) -> OpenBlob:
        with self._opened(asset) as (descriptor, header):
            key = asset.key.hex()
            representation = header.representations.get(encoding)
            if representation is None:
                raise BlobCorrupt(key, f"has no {encoding.name} form, the manifest says it has")
            body: bytes | memoryview
            file_number = os.fstat(descriptor).st_ino  # a replaced blob is another file, mapped and proven again
            if representation.length > MAPPED_BYTES_MIN:
                body = self._maps.body(descriptor, file_number, representation.offset, representation.length)
            else:
                body = os.pread(descriptor, representation.length, representation.offset)
            if self._proven_opens.get((asset.key, encoding)) != file_number:
                if checksum(body) != representation.checksum:
                    raise BlobCorrupt(
                        key, f"has {encoding.name if encoding else 'identity'} bytes that don't match their checksum"
                    )
                self._proven_opens[(asset.key, encoding)] = file_number
            return OpenBlob(body, header.links)

    @contextmanager
    def _opened(self, asset: Asset) -> Iterator[tuple[int, BlobHeader]]:
        key = asset.key.hex()
        for path in self._blobs.candidates(key, asset.size_bytes):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                break
            try:
                header = parse_header_of(descriptor)
                if header.size_bytes == asset.size_bytes:
                    yield descriptor, header
                    return
            except BlobUnreadable as error:
                raise BlobCorrupt(key, str(error)) from None
            finally:
                os.close(descriptor)
        raise BlobMissing(key)

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Hold from `claim` until the manifest made of it is committed: no collection runs meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Hold from reading which blobs are in use until the last removal. Waits for claims under way."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)  # and the lock with it, also when this process is killed

    def collect(self, in_use: Container[bytes], *, before_s: float, is_dry_run: bool = False) -> Collected:
        """Remove blobs whose raw key isn't `in_use`, and uploads and temporary files, last asked for before
        `before_s` (Unix time); a dry run only counts. Call it inside `collecting()`, with an `in_use` that was
        read there; `before_s` leaves uploads of deploys that have not claimed yet alone."""
        unused = [file for key, file in self._blobs.files() if bytes.fromhex(key) not in in_use]
        removed = young = 0
        for file in (*unused, *self._uploads.glob("*/*")):
            with suppress(FileNotFoundError):  # a batch that just ended took its temporary files along
                if file.stat().st_mtime >= before_s:
                    young += 1
                    continue
                if not is_dry_run:
                    file.unlink()
                removed += 1
        return Collected(removed, young)

    def keys(self) -> Iterator[str]:
        """Every stored key; one that two files share comes twice."""
        return (key for key, _ in self._blobs.files())

    def verify(self, key: str) -> str | None:
        """What is wrong with a blob (to follow its name in a message), or None. Reads all of it."""
        files = self._blobs.files_of(key)
        problems = (problem_of(file, key) for file in files)
        return next((problem for problem in problems if problem is not None), None) if files else "is missing"

    def remove(self, key: str) -> None:
        """Take a damaged blob away, so that the next deploy that has it uploads it again."""
        for file in self._blobs.files_of(key):
            file.unlink(missing_ok=True)

    def _scope_folder(self, scope: str) -> Path:
        if SCOPE.fullmatch(scope) is None or scope == TEMPORARY_FOLDER:
            raise ValueError(f"scope {scope!r} isn't 1 to 64 of A-Z a-z 0-9 _ -, other than {TEMPORARY_FOLDER}")
        return self._uploads / scope


def _render_blob(arrival: _Arrival) -> list[bytes]:
    if arrival.extension is None:
        return encode_blob(arrival.content, {}, extension=None)
    content_type = content_type_of(f"/file.{arrival.extension}")
    links = early_hint_links(arrival.content) if content_type.startswith("text/html") else ""
    variants = variants_of(arrival.content, content_type)
    return encode_blob(arrival.content, variants, extension=arrival.extension, links=links)


def _asset(path: str, key: str, header: BlobHeader) -> Asset:
    return Asset(bytes.fromhex(key), header.size_bytes, content_type_of(path), header.encodings)
