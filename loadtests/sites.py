"""Folders to deploy: text that compresses like a real site's, and bytes that don't, the same for a given seed."""

import random
from pathlib import Path

WORDS = [
    "route",
    "pipeline",
    "manifest",
    "blob",
    "asset",
    "deployment",
    "hostname",
    "snapshot",
    "replica",
    "feed",
    "edge",
    "worker",
    "header",
    "cache",
    "range",
    "variant",
    "etag",
    "branch",
    "alias",
    "production",
    "preview",
    "rollback",
    "transaction",
    "keyed",
    "hash",
    "look",
    "up",
    "serve",
    "answer",
    "request",
]


def make_site(folder: Path, *, files_count: int, bytes_count: int, seed: int) -> int:
    """Four of five files are text (html, css, js, json), every fifth is incompressible. Returns the bytes written."""
    dice = random.Random(seed)
    size = bytes_count // files_count
    written = 0
    for number in range(files_count):
        kind = ("html", "css", "js", "json", "png")[number % 5]
        content = dice.randbytes(size) if kind == "png" else text_of(dice, size)
        path = folder / f"section-{number % 40:02d}" / f"page-{number:05d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written += len(content)
    return written


def text_of(dice: random.Random, size: int) -> bytes:
    words = dice.choices(WORDS, k=size // 6)
    numbers = [str(dice.randrange(10**6)) for _ in range(size // 60)]
    lines = [" ".join(words[at : at + 9] + numbers[at // 10 : at // 10 + 1]) for at in range(0, len(words), 9)]
    return "\n".join(lines).encode()[:size].ljust(size)
