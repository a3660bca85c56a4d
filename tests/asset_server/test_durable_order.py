"""What the system is told, in which order: bytes forced to the disk before a name is, names before put_many returns.

A killed process can't show a missing fsync, since the page cache outlives it. So the system's own calls are watched,
passed on, and their order is what is claimed.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asset_server import durable
from asset_server.asset_keys import asset_key
from asset_server.blobs import BlobStore, Upload
from functions.bundle import BundleStore
from router.hashing import KeyRing
from router.key_files import make_key, write_key_ring

BUNDLE = (
    b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"main_module":"w.js"}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="w.js"; filename="w.js"\r\n'
    b"Content-Type: application/javascript+module\r\n\r\nexport default {}\r\n--b--\r\n"
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`sync file`, `sync folder`, `sync all`, `name`: every such call, as it happens."""
    calls: list[str] = []

    def watched(call: Callable[..., Any], describe: Callable[..., str]) -> Callable[..., Any]:
        def watch(*arguments: Any, **named: Any) -> Any:
            outcome = call(*arguments, **named)
            calls.append(describe(*arguments))
            return outcome

        return watch

    def kind_of(descriptor: int) -> str:
        return "sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file"  # noqa: PTH112

    monkeypatch.setattr(os, "fsync", watched(os.fsync, kind_of))
    monkeypatch.setattr(os, "link", watched(os.link, lambda *_: "name"))
    monkeypatch.setattr(os, "rename", watched(os.rename, lambda *_: "name"))
    monkeypatch.setattr(os, "replace", watched(os.replace, lambda *_: "name"))
    monkeypatch.setattr(durable, "_syncfs", watched(durable._syncfs, lambda *_: "sync all"))
    return calls


def uploads(count: int) -> list[Upload]:
    contents = [b"asset %d" % number for number in range(count)]
    return [Upload(asset_key(content, "txt"), content, "text/plain") for content in contents]


def test_one_blob_is_on_the_disk_before_its_name_and_its_name_before_the_return(
    tmp_path: Path, told: list[str]
) -> None:
    BlobStore(tmp_path).put_many(uploads(1), scope="1")
    assert told == ["sync file", "name", "sync folder"]


def test_many_blobs_are_forced_once_before_their_names_and_once_after(tmp_path: Path, told: list[str]) -> None:
    BlobStore(tmp_path).put_many(uploads(200), scope="1")
    names = [index for index, call in enumerate(told) if call == "name"]
    assert len(names) == 200
    assert "sync all" in told[: names[0]] or told[: names[0]].count("sync file") == 200
    assert {"sync all", "sync folder"} & set(told[names[-1] :])


def test_a_bundle_is_on_the_disk_before_its_name(tmp_path: Path, told: list[str]) -> None:
    BundleStore(tmp_path).put(BUNDLE, {})
    assert told == ["sync file", "name", "sync folder"]


def test_a_key_ring_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, told: list[str]) -> None:
    write_key_ring(tmp_path / "route-keys.json", KeyRing(make_key()))
    assert told == ["sync file", "name", "sync folder"]
