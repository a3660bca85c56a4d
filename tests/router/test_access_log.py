"""The access log's thread and its bounds: whatever becomes of the lines, noting one never fails nor waits."""

import json
import os
from pathlib import Path

from router.access_log import BUFFER_BYTES_MAX, BUFFER_FULL, WRITE_FAILED, AccessLog, open_target
from router.forwarded import TrustedProxies
from router.metrics.slot import Cells, unshared_cells
from tests.real_parts import small_disk

REQUEST = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
PEER = ("192.0.2.1", 1)
DISK_BYTES = 64 * 1024


def access_log(descriptor: int, *, share: float = 1.0) -> tuple[AccessLog, Cells]:
    cells = unshared_cells()
    return AccessLog(descriptor, cells, share=share, proxies=TrustedProxies()), cells


async def test_every_request_is_a_line_in_its_order(tmp_path: Path) -> None:
    log, cells = access_log(open_target(tmp_path / "log"))
    for number in range(5_000):
        log.note_ready(PEER, REQUEST, 200, number)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["bytes"] for line in lines] == list(range(5_000))
    assert cells[BUFFER_FULL] == cells[WRITE_FAILED] == 0


async def test_a_share_of_them_is_about_that_share(tmp_path: Path) -> None:
    log, _ = access_log(open_target(tmp_path / "log"), share=0.1)
    for _ in range(10_000):
        log.note_ready(PEER, REQUEST, 200, 0)
    log.close()
    assert 700 < (tmp_path / "log").read_text().count("\n") < 1_300


async def test_a_pipe_that_nobody_reads_any_more_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log, cells = access_log(writer)
    for _ in range(100):
        log.note_ready(PEER, REQUEST, 200, 0)
    log.close()
    assert cells[WRITE_FAILED] == 100


async def test_a_pipe_that_is_never_emptied_fills_a_bounded_buffer() -> None:
    reader, writer = os.pipe()
    log, cells = access_log(writer)
    big = b"GET /" + b"x" * 10_000 + REQUEST[6:]
    count = 0
    while not cells[BUFFER_FULL]:
        log.note_ready(PEER, big, 200, 0)
        count += 1
    assert count <= BUFFER_BYTES_MAX // len(big) + 1
    log.note_ready(PEER, big, 200, 0)
    assert cells[BUFFER_FULL] == 2
    os.close(reader)
    log.close()


async def test_a_full_disk_loses_lines_and_tears_none_that_comes_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        log, cells = access_log(open_target(disk / "log"))
        for number in range(2_000):
            log.note_ready(PEER, REQUEST, 200, number)
        log._hand_over()
        while log._noted_bytes > log._done_bytes:
            pass
        assert cells[WRITE_FAILED] > 0
        os.truncate(disk / "log", DISK_BYTES // 2)  # room again, and a torn line at the end
        with (disk / "log").open("ab") as file:
            file.write(b"\n")
        log.note_ready(PEER, REQUEST, 200, 77_777)
        log.close()
        last = (disk / "log").read_text().splitlines()[-1]
        assert json.loads(last)["bytes"] == 77_777
