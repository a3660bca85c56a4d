"""A site whose every file names its version, so that a mixture of two versions can be told."""

import json
import random
from typing import Final

from tests.conftest import LiveServer

SITE: Final = "breakable"
HOST: Final = f"{SITE}.pages.localhost"
FILES_COUNT: Final = 12
FILE_BYTES: Final = 60_000


def site_files(version: int) -> dict[str, bytes]:
    """Each file names its version; the first ones change rarely, so that versions share blobs."""
    dice = random.Random(version)
    files = {}
    for number in range(FILES_COUNT):
        marker = version // 7 if number < 3 else version
        text = f"version {marker} of file {number}\n".encode()
        files[f"file-{number}.txt"] = text + random.Random(f"{number} {marker}").randbytes(FILE_BYTES // 2) * 2
    files["index.html"] = f"<!doctype html><title>{version}</title>{dice.random()}\n".encode()
    return files


def version_served(server: LiveServer, host: str, versions: tuple[int, ...]) -> int:
    """The one version of which every file is served. Fails on a mixture."""
    served = {path: server.get(host, f"/{path}") for path in site_files(versions[0]) if path != "index.html"}
    served["index.html"] = server.get(host, "/")
    statuses = {answer.status for answer in served.values()}
    assert statuses == {200}, f"{host}: {statuses}"
    whole = [v for v in versions if all(served[path].body == body for path, body in site_files(v).items())]
    assert len(whole) == 1, f"{host} serves a mixture of {versions}"
    return whole[0]


def assert_check_is_clean(server: LiveServer) -> None:
    done = server.cli("check", "--data", str(server.data), "--json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["faults"] == []
