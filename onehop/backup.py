"""`onehop backup` and `onehop restore`: a data folder, whole and consistent, while it serves.

    BACKUP/kv/data.mdb      the store, compacted, as of one commit
    BACKUP/blobs/…          the blobs that this commit needs; hard links where the file system allows it
    BACKUP/bundles/…        the function bundles
    BACKUP/workflows/…      the workflows' database, as of one commit of its own
    BACKUP/functions/…      the keys and values of functions, as of one moment
    BACKUP/secrets/…        0600: whoever has them and the rest has everything
    BACKUP/backup.json      written last: without it the backup isn't whole

Blobs never change once they have their name, so a link is as good as a copy, except against the loss of the disk.
Collection waits meanwhile; deploys don't. A backup or a restored folder appears under its name when it is whole, and
not before.
"""

import errno
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from asset_server.blob_folder import BlobFolder
from asset_server.blobs import BlobStore
from asset_server.manifest import Manifest
from control_plane.clock import Clock
from functions.bundle import SUFFIX as BUNDLE_SUFFIX
from functions.bundle import BundleStore
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.output import Watcher
from router.key_files import KeysRefused, prove_key_ring, read_key_ring
from router.kv.schema import Database
from router.kv.store import open_store
from workflows.store.keeping import copy_store as copy_workflows

VERSION: Final = 1
DESCRIPTION_FILE: Final = "backup.json"
STORE_FILE: Final = "data.mdb"
TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
OTHER_ARCHIVES: Final = (".zip", ".7z", ".rar", ".gz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".lz4")
"""Names that promise what isn't written; a folder of such a name would surprise."""
PRIVATE_FOLDER_MODE: Final = 0o700
SECRET_MODE: Final = 0o600


class BackupRefused(CommandFailed):
    """A backup can't be made or brought back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BackupDescription:
    """What backup.json holds. `blobs_missing` are those that the store names and the folder hadn't."""

    version: int
    created_on: str
    sites: int
    deployments: int
    blobs: int
    blobs_missing: int


def back_up(folder: DataFolder, target: Path, *, clock: Clock, watcher: Watcher) -> BackupDescription:
    """`target` is a folder, or a file that ends as a tar's. Raises BackupRefused."""
    if target.exists() and not is_empty_folder(target):
        raise BackupRefused(f"{target} is there already; name another, a backup never overwrites one")
    if target.resolve().is_relative_to(folder.root.resolve()):
        raise BackupRefused(f"{target} lies in the data folder itself; name a place outside of it")
    is_tar = target.name.endswith(TAR_SUFFIXES)
    if not is_tar and target.name.lower().endswith(OTHER_ARCHIVES):
        raise BackupRefused(f"{target} has the name of an archive that isn't written here; end it in .tar or .tar.gz")
    with being_made(target if not is_tar else target.with_name(target.name + ".folder"), keep=not is_tar) as partial:
        description = fill(folder, partial, clock=clock, watcher=watcher)
        if is_tar:
            watcher.begin("writing the archive")
            if target.exists():
                raise BackupRefused(f"{target} has been made meanwhile; name another")
            pack(partial, target)
    return description


def fill(folder: DataFolder, partial: Path, *, clock: Clock, watcher: Watcher) -> BackupDescription:
    copy = DataFolder(partial)
    for private in (copy.kv, copy.secrets):
        private.mkdir(mode=PRIVATE_FOLDER_MODE)
    with BlobStore(folder.root).claiming():
        watcher.begin("copying the store")
        copy_store(folder.kv, copy.kv)
        with open_store(copy.kv) as store, store.read() as snapshot:
            needed = {
                key.hex()
                for _, encoded in snapshot.scan(Database.MANIFESTS)
                for key in Manifest(encoded).keys()  # noqa: SIM118
            }
            sites, deployments = snapshot.count(Database.SITES), snapshot.count(Database.DEPLOYMENTS)
        (copy.kv / "lock.mdb").unlink(missing_ok=True)
        missing = copy_blobs(folder.blobs, copy.blobs, sorted(needed), watcher)
        copy_bundles(folder.bundles, copy.bundles)
    copy_key_values(folder.key_values, copy.key_values)
    if folder.workflow_store.is_file():
        watcher.begin("copying the workflows")
        copy.workflows.mkdir(mode=PRIVATE_FOLDER_MODE)
        copy_workflows(folder.workflow_store, copy.workflow_store)
        copy.workflow_store.chmod(SECRET_MODE)
    for file in sorted(folder.secrets.iterdir()):
        copy_secret(file, copy.secrets / file.name)
    refuse_another_ring(copy)
    description = BackupDescription(VERSION, clock.now(), sites, deployments, len(needed) - missing, missing)
    (partial / DESCRIPTION_FILE).write_bytes(orjson.dumps(asdict(description), option=orjson.OPT_INDENT_2))
    return description


def refuse_another_ring(copy: DataFolder) -> None:
    """The store and the keys were copied one after the other: a rotation in between would make a pair that can't be
    restored. Raises BackupRefused."""
    try:
        with open_store(copy.kv) as store:
            prove_key_ring(store, read_key_ring(copy.route_keys), copy.route_keys)
    except KeysRefused:
        raise BackupRefused("a key rotation began or ended during the backup; run the backup again") from None
    finally:
        (copy.kv / "lock.mdb").unlink(missing_ok=True)


def copy_store(source: Path, target: Path) -> None:
    """One commit's pages, in order and without the free ones."""
    with open_store(source) as store:
        store.copy(target)
    (target / STORE_FILE).chmod(SECRET_MODE)


def copy_blobs(source: Path, target: Path, keys: list[str], watcher: Watcher) -> int:
    """Returns how many weren't there: a damaged folder is still worth a backup of the rest."""
    watcher.begin("blobs", len(keys))
    blobs, copies = BlobFolder(source), BlobFolder(target)
    copies.create()
    missing = 0
    for key in keys:
        files = blobs.files_of(key)
        missing += not files
        for file in files:
            link_or_copy(file, copies.path / file.parent.name / file.name)
        watcher.advance()
    return missing


def copy_bundles(source: Path, target: Path) -> None:
    """Those that have their name. Drafts of deploys under way come and go meanwhile, and are nobody's yet."""
    target.mkdir()
    for bundle_id in BundleStore(source).ids():
        name = bundle_id + BUNDLE_SUFFIX
        link_or_copy(source / name, target / name)


def copy_key_values(source: Path, target: Path) -> None:
    """While functions write to it: SQLite copies a consistent state. Logs are left out."""
    if not source.is_file():
        return
    target.parent.mkdir(mode=PRIVATE_FOLDER_MODE)
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    target.chmod(SECRET_MODE)


def link_or_copy(source: "str | Path", target: "str | Path") -> None:
    try:
        os.link(source, target)
    except OSError as error:
        # ENOENT: what had the name when it was looked up has just been replaced, so that there's no link to it left.
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOENT):
            raise
        shutil.copyfile(source, target)


def copy_secret(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())


def pack(folder: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET_MODE)
    try:
        mode = "w" if target.suffix == ".tar" else "w:gz"
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
            archive.add(folder, arcname=".")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def unpack(archive: Path, target: Path, watcher: Watcher) -> None:
    """Raises BackupRefused: for what isn't an archive, and for members that would leave `target`."""
    watcher.begin("reading the archive")
    try:
        with tarfile.open(archive) as members:
            members.extractall(target, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise BackupRefused(f"{archive} isn't a whole archive of a backup: {error}") from None


def bring_back(source: Path, partial: Path, *, watcher: Watcher) -> BackupDescription:
    """Fills `partial`, to be verified and then renamed to the folder's own name by the caller."""
    if not source.exists():
        raise BackupRefused(f"there is no backup at {source}")
    if source.is_dir():
        if not (source / DESCRIPTION_FILE).is_file():
            raise BackupRefused(f"{source} isn't a whole backup: it has no {DESCRIPTION_FILE}")
        watcher.begin("copying")
        shutil.copytree(source, partial, dirs_exist_ok=True)
    else:
        unpack(source, partial, watcher)
    restored = DataFolder(partial)
    for needed in (restored.kv / STORE_FILE, restored.route_keys):
        if not needed.is_file():
            raise BackupRefused(f"{source} isn't a whole backup: it has no {needed.relative_to(partial)}")
    try:
        description = BackupDescription(**orjson.loads((partial / DESCRIPTION_FILE).read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        raise BackupRefused(f"{source} isn't a whole backup: {DESCRIPTION_FILE} can't be read ({error})") from None
    if description.version != VERSION:
        raise BackupRefused(f"{source} is a backup of version {description.version}, this release reads {VERSION}")
    for private in (partial, restored.kv, restored.secrets):
        private.chmod(PRIVATE_FOLDER_MODE)
    for secret in restored.secrets.iterdir():
        secret.chmod(SECRET_MODE)
    (partial / DESCRIPTION_FILE).unlink()
    restored.create()
    restored.workflows.chmod(PRIVATE_FOLDER_MODE)
    return description


@contextmanager
def being_made(target: Path, *, keep: bool = True) -> Iterator[Path]:
    """A folder beside `target` that gets its name when the block ends well, and is gone when it doesn't."""
    partial = target.with_name(target.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.mkdir(mode=PRIVATE_FOLDER_MODE)
    except FileExistsError:
        raise BackupRefused(
            f"{partial} is left from an attempt that was killed, or one that is under way; remove it"
        ) from None
    is_renamed = False
    try:
        yield partial
        if keep:
            try:
                partial.rename(target)  # takes the place of an empty folder, and of nothing else
                is_renamed = True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                raise BackupRefused(f"{target} has been made meanwhile; name another") from None
    finally:
        if not is_renamed:  # else the name is free, and may be another's folder by now
            shutil.rmtree(partial, ignore_errors=True)


def is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None
