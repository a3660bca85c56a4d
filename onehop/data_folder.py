"""Where things lie in a data folder, and the lock that keeps a second control plane out of it.

control.lock holds the control plane's process id and, on a second line, where its API is. That counts for as long as
the lock is held: by it the command line finds the one server that the folder's admin token may be shown to.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN_FOLDERS: Final = frozenset(
    {"kv", "blobs", "uploads", "bundles", "functions", "secrets", "metrics", "differences", "workflows", "migration"}
)
OWN_NAMES: Final = OWN_FOLDERS | {"control.lock", "blobs.lock", "lost+found"}
LOCK_TRIES: Final = 10
LOCK_RETRY_S: Final = 0.02
"""Whoever asks where the API is holds the lock for a moment."""
LOCK_BYTES_MAX: Final = 512


class DataFolderRefused(Exception):
    """The folder can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths of one data folder (docs/architecture.md has the table)."""

    root: Path

    @property
    def kv(self) -> Path:
        return self.root / "kv"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def differences(self) -> Path:
        """What edges found by shadow compare; made when there is something."""
        return self.root / "differences"

    @property
    def functions(self) -> Path:
        """What functions themselves write, and the workerd that npm installed."""
        return self.root / "functions"

    @property
    def key_values(self) -> Path:
        return self.functions / "key-values.sqlite"

    @property
    def events(self) -> Path:
        return self.functions / "events.sqlite"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    @property
    def workflows(self) -> Path:
        return self.root / "workflows"

    @property
    def workflow_store(self) -> Path:
        return self.workflows / "workflows.db"

    @property
    def migration(self) -> Path:
        return self.root / "migration"

    @property
    def pulse(self) -> Path:
        """What the process of the job that runs says of itself."""
        return self.migration / "pulse.json"

    @property
    def samples(self) -> Path:
        return self.migration / "samples.jsonl"

    @property
    def admin_token(self) -> Path:
        return self.secrets / "admin-token"

    @property
    def route_keys(self) -> Path:
        return self.secrets / "route-keys.json"

    @property
    def lock(self) -> Path:
        return self.root / "control.lock"

    def exists(self) -> bool:
        """Whether a store was ever made here."""
        return self.kv.is_dir()

    def create(self) -> None:
        """Makes what is missing; what is there stays as it is. Raises DataFolderRefused, also for a folder that holds
        other things: a site's folder that became a data folder would be deployed with the secrets in it."""
        if self.root.is_dir() and not self.exists():
            strange = sorted(entry.name for entry in self.root.iterdir() if entry.name not in OWN_NAMES)
            if strange:
                raise DataFolderRefused(
                    f"{self.root} isn't a data folder: it holds {', '.join(strange[:3])}; "
                    "name an empty or new one with --data"
                )
        if self.route_keys.exists() and not (self.kv / "data.mdb").exists():
            # A new store under the old keys would answer 404 for every site, and collect their blobs as unused.
            raise DataFolderRefused(
                f"{self.root} has lost its store: {self.kv / 'data.mdb'} is missing, its keys are here; restore a "
                f"backup with 'onehop restore', or begin anew in an empty folder"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for private in (self.kv, self.secrets, self.workflows):
                private.mkdir(mode=0o700, exist_ok=True)
            for shared in (self.blobs, self.uploads, self.bundles):
                shared.mkdir(exist_ok=True)
        except OSError as error:
            raise DataFolderRefused(
                f"the data folder {self.root} can't be made: {error.strerror}; name another with --data"
            ) from None

    @contextmanager
    def controlled(self) -> Iterator[None]:
        """Holds the folder's lock: one control plane at a time. The kernel lets go of it when the process ends."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(descriptor):
            holder = read_lock(descriptor)[0]
            os.close(descriptor)
            raise DataFolderRefused(
                f"{self.root} is in use by another 'onehop serve'{f' (process {holder})' if holder else ''}; "
                "stop that one first, or give this one its own --data"
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
            yield
        finally:
            os.close(descriptor)

    def tell_api(self, url: str) -> None:
        """By whoever holds the lock, once."""
        with self.lock.open("a", encoding="ascii") as file:
            file.write(f"{url}\n")

    def told_api(self) -> str | None:
        """Where the API of the control plane is that holds the lock now; None when none does."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return read_lock(descriptor)[1] or None
        else:
            return None
        finally:
            os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(LOCK_RETRY_S)
        else:
            return True
    return False


def read_lock(descriptor: int) -> tuple[str, str]:
    """(process id, URL), each empty when it isn't there."""
    lines = os.pread(descriptor, LOCK_BYTES_MAX, 0).decode("ascii", "replace").split("\n")
    return lines[0], lines[1] if len(lines) > 2 else ""
