"""What git knows of the folder that a deploy is started in: branch, commit, message, whether anything is uncommitted.

As wrangler does it: a detached checkout has the branch "HEAD", and where there is no git, no checkout or no commit,
nothing is known.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GIT_TIMEOUT_S: Final = 20
MESSAGE_BYTES_MAX: Final = 384
DETACHED: Final = "HEAD"  # what git and wrangler call the branch where none is checked out


@dataclass(frozen=True, slots=True)
class GitCheckout:
    """The commit that is checked out."""

    branch: str
    commit_hash: str
    commit_message: str
    is_dirty: bool


def read_checkout(folder: Path) -> GitCheckout | None:
    commit = ask_git(folder, "rev-parse", "HEAD")
    branch = ask_git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    if not commit or not branch:
        return None
    return GitCheckout(
        branch=branch,
        commit_hash=commit,
        commit_message=shorten_message(ask_git(folder, "show", "-s", "--format=%B", "HEAD") or ""),
        is_dirty=bool(ask_git(folder, "status", "--porcelain")),
    )


def shorten_message(message: str) -> str:
    """At most MESSAGE_BYTES_MAX bytes of UTF-8, no half character at the end."""
    return message.encode("utf-8")[:MESSAGE_BYTES_MAX].decode("utf-8", "ignore")


def ask_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  # arguments of ours
            ["git", *arguments],  # noqa: S607  # the person's own git, wherever their PATH has it
            cwd=folder, capture_output=True, timeout=GIT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
