"""Where things lie in a data folder, and the lock that keeps a second control plane out of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN_NAMES: Final = frozenset(
    {"kv", "blobs", "uploads", "bundles", "functions", "secrets", "control.lock", "blobs.lock", "lost+found"}
)


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
            for private in (self.kv, self.secrets):
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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
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
