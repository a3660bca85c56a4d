"""A folder on disk to the files that a deploy sends: what counts, what steers, what is left out, what can't be.

The names that are left out are wrangler's (pages-serving 10), so that both clients deploy the same site. Everything
else is sent, dotfiles included. Nothing is read here but names and sizes: all that can be refused is refused, all of
it at once, before a byte is sent.

A symlink counts as what it leads to while that lies inside the folder. One that leads out is left out and named: it
would publish a file that nobody put there to be published. So would a data folder that happens to lie in the folder.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asset_server.manifest import ASSET_BYTES_MAX, find_twins, validate_manifest_path
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed

FILES_COUNT_MAX: Final = 20_000
DEPTH_MAX: Final = 64  # folders within folders, through links as well
NAMED_MAX: Final = 5  # of many problems of one kind, as many are named

CONTROL_FILES: Final = ("_headers", "_redirects", "_routes.json", "_worker.js")
"""At the root these steer the deployment and aren't assets; below it they are ordinary files."""
LEFT_OUT_AT_ROOT: Final = frozenset({*CONTROL_FILES, "functions", ".wrangler"})
FUNCTION_SUFFIXES: Final = frozenset({".js", ".mjs", ".ts", ".jsx", ".tsx", ".wasm"})
LEFT_OUT_ANYWHERE: Final = frozenset({".DS_Store", "node_modules", ".git"})
"""wrangler's globs for these don't descend into folders whose names begin with a dot; neither do ours."""


class FolderRefused(CommandFailed):
    """The folder can't be deployed as it is. The message names each file in the way."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """`path` is the site's ("/a/b.html"), `file` the disk's. `mtime_ns` tells whether the file changed meanwhile."""

    path: str
    file: Path
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class DeployFolder:
    """`controls` by their names; `warnings` are sentences about what isn't deployed though it is there."""

    root: Path
    files: tuple[FolderFile, ...]
    controls: Mapping[str, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.files)


def read_folder(
    root: Path, *, project: Path | None = None, follow_links: bool = False, files_count_max: int = FILES_COUNT_MAX
) -> DeployFolder:
    """`project` is the folder that a build is started in, where wrangler looks for functions/. `follow_links` takes in
    what symlinks outside the folder lead to, as wrangler does. Raises FolderRefused."""
    if not root.is_dir():
        raise FolderRefused(f"{root} is {'not a folder' if root.exists() else 'not there'}; name the folder to deploy")
    walk = _Walk(root.resolve(), follow_links=follow_links)
    files = tuple(sorted(walk.files_below(walk.root, "", depth=0), key=lambda each: each.path))
    refuse_unfit(files, files_count_max=files_count_max)
    controls = {name: walk.root / name for name in CONTROL_FILES if walk.is_control_file(name)}
    warnings = list(walk.warnings())
    if (root / "_worker.js").is_dir():
        raise FolderRefused(
            f"{root / '_worker.js'} is a folder of modules, which needs wrangler's bundler; deploy this one with "
            "'npx wrangler pages deploy', which works against Onehop as it is"
        )
    if holds_functions(root) or (project is not None and holds_functions(project)):
        warnings.append(
            "functions/ isn't deployed: it needs wrangler's bundler; 'npx wrangler pages deploy' deploys it as well"
        )
    if "_routes.json" in controls and "_worker.js" not in controls:
        warnings.append("_routes.json isn't sent, since there is no _worker.js")
    return DeployFolder(root, files, controls, tuple(warnings))


def holds_functions(folder: Path) -> bool:
    """Whether its functions/ has modules that wrangler would bundle."""
    return any(file.suffix in FUNCTION_SUFFIXES for file in (folder / "functions").glob("**/*"))


def refuse_unfit(files: tuple[FolderFile, ...], *, files_count_max: int) -> None:
    problems = []
    if too_large := [each for each in files if each.size_bytes > ASSET_BYTES_MAX]:
        listed = name_some([f"{each.path} ({each.size_bytes / 1024 / 1024:.1f} MiB)" for each in too_large])
        problems.append(f"over the {ASSET_BYTES_MAX // 1024 // 1024} MiB that a file may have: {listed}")
    if unfit := [f"{each.path!r} {why}" for each in files if (why := validate_manifest_path(each.path)) is not None]:
        problems.append(f"names that no URL can have: {name_some(unfit)}")
    if twins := find_twins(each.path for each in files):
        problems.append(f"one name in two Unicode forms: {' and '.join(map(ascii, twins))}")
    if len(files) > files_count_max:
        fullest = name_some(fullest_folders(files))
        problems.append(f"{len(files)} files, a deployment has at most {files_count_max}; most are in {fullest}")
    if problems:
        raise FolderRefused(f"nothing was sent: {'; '.join(problems)}. Leave them out of the folder and deploy again")


def fullest_folders(files: tuple[FolderFile, ...]) -> list[str]:
    counts: dict[str, int] = {}
    for each in files:
        top = each.path.rsplit("/", 1)[0] or "/"
        counts[top] = counts.get(top, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [f"{folder} ({count})" for folder, count in ordered[:NAMED_MAX]]


def name_some(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


class _Walk:
    """One pass over a folder; collects what it left out as it goes."""

    def __init__(self, root: Path, *, follow_links: bool) -> None:
        self.root = root
        self._follow_links = follow_links
        # Device and inode of the folders that we are in: a link to one is a cycle.
        self._open: list[tuple[int, int]] = []
        self._leading_out: list[str] = []
        self._dangling: list[str] = []
        self._special: list[str] = []
        self._cycles: list[str] = []
        self._data_folders: list[str] = []

    def warnings(self) -> Iterator[str]:
        for names, what in (
            (self._leading_out, "symlinks lead out of the folder; --follow-links deploys what they lead to"),
            (self._dangling, "symlinks lead nowhere"),
            (self._special, "are neither files nor folders"),
            (self._cycles, "symlinks lead back to a folder that they are in, or through too many folders"),
            (self._data_folders, "data folders of Onehop's, with the secrets of a server in them"),
        ):
            if names:
                yield f"left out: {name_some(names)}: {what}"

    def files_below(self, folder: Path, path: str, *, depth: int) -> Iterator[FolderFile]:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in self._open or depth > DEPTH_MAX:
            self._cycles.append(path)
            return
        if DataFolder(folder).admin_token.exists():
            self._data_folders.append(path or "the folder itself")
            return
        self._open.append(identity)
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            if not is_left_out(path, entry.name):
                yield from self._entry(entry, f"{path}/{entry.name}", depth=depth)
        self._open.pop()

    def is_control_file(self, name: str) -> bool:
        """Whether it is there and steers. A link out of the folder doesn't: a deploy's log quotes lines that it can't
        use."""
        file = self.root / name
        return (not file.is_symlink() or self._is_to_be_followed(file, f"/{name}")) and file.is_file()

    def _entry(self, entry: "os.DirEntry[str]", path: str, *, depth: int) -> Iterator[FolderFile]:
        file = Path(entry.path)
        if entry.is_symlink() and not self._is_to_be_followed(file, path):
            return
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            yield from self.files_below(file, path, depth=depth + 1)
        elif stat.S_ISREG(status.st_mode):
            yield FolderFile(path, file, status.st_size, status.st_mtime_ns)
        else:
            self._special.append(path)

    def _is_to_be_followed(self, link: Path, path: str) -> bool:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # nowhere, or round in circles
            self._dangling.append(path)
            return False
        if not self._follow_links and not target.is_relative_to(self.root):
            self._leading_out.append(path)
            return False
        return True


def is_left_out(folder_path: str, name: str) -> bool:
    """`folder_path` is the site's path of the folder that `name` is in: "" for the root."""
    if folder_path == "" and name in LEFT_OUT_AT_ROOT:
        return True
    return name in LEFT_OUT_ANYWHERE and not any(part.startswith(".") for part in folder_path.split("/"))
