"""How the command line speaks to the API: what is tried again, what is said when it fails, where a token goes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from control_plane.plane import ACCOUNT_ID_DEFAULT
from onehop.api_client import (
    ACCOUNT,
    BACK_OFF_S_MAX,
    ApiAccess,
    ApiClient,
    ApiRefused,
    ApiTokenMissing,
    ApiUnreachable,
    ServerNotRunning,
)
from onehop.data_folder import DataFolder, DataFolderRefused
from tests.conftest import Serve

Answer = tuple[int, dict[str, str], bytes]

OK: Answer = (200, {}, b'{"success":true,"errors":[],"messages":[],"result":"done"}')
BUSY: Answer = (503, {}, b'{"success":false,"errors":[{"code":8000504,"message":"busy"}],"messages":[],"result":null}')
GONE: Answer = (404, {}, b'{"success":false,"errors":[{"code":8000009,"message":"no such thing"}],"result":null}')


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn; yields its URL and the paths that were asked for."""
    asked: list[str] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def call(url: str, *, tries: int) -> tuple[object, list[float]]:
    waits: list[float] = []
    with ApiClient(ApiAccess(url, "token"), wait=waits.append) as api:
        return api.call("GET", "/x", tries=tries), waits


def test_busy_server_is_asked_again_with_growing_waits() -> None:
    with answering(BUSY, BUSY, BUSY, OK) as (url, asked):
        result, waits = call(url, tries=6)
    assert result == "done"
    assert len(asked) == 4
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= BACK_OFF_S_MAX


def test_retry_after_is_honoured_within_bounds() -> None:
    busy_for = [(BUSY[0], {"Retry-After": seconds}, BUSY[2]) for seconds in ("2", "86400", "soon")]
    with answering(*busy_for, OK) as (url, _):
        _, waits = call(url, tries=4)
    assert waits[:2] == [2.0, BACK_OFF_S_MAX]


def test_a_refusal_is_final_and_in_the_servers_words() -> None:
    with answering(GONE) as (url, asked), pytest.raises(ApiRefused, match="no such thing") as refused:
        call(url, tries=6)
    assert len(asked) == 1
    assert (refused.value.status, refused.value.code) == (404, 8000009)


def test_tries_come_to_an_end() -> None:
    with answering(BUSY, BUSY) as (url, asked), pytest.raises(ApiRefused, match="busy"):
        call(url, tries=2)
    assert len(asked) == 2


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"success":false}', b'{"success":false,"errors":[{}]}'])
def test_what_is_no_envelope_is_told_apart_from_a_refusal(body: bytes) -> None:
    with answering((200, {}, body)) as (url, _), pytest.raises(ApiUnreachable, match="isn't the API's"):
        call(url, tries=1)


def test_pages_are_read_to_the_end() -> None:
    full, rest = [{"n": number} for number in range(100)], [{"n": 100}]
    assert list_all(full, rest) == [*full, *rest]


def test_a_page_with_room_left_is_not_taken_for_the_last() -> None:
    assert list_all([], [{"n": 1}], []) == [{"n": 1}]


def list_all(*pages: list[dict[str, int]]) -> list[object]:
    told = {"success": True, "result_info": {"total_pages": len(pages)}}
    answers = [(200, {}, json.dumps({**told, "result": page}).encode()) for page in pages]
    with answering(*answers) as (url, asked), ApiClient(ApiAccess(url, "token")) as api:
        items = list(api.pages("/list", {}))
    assert len(asked) == len(pages)
    return items


def data_with_token(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "admin-token").write_text("admin\n")
    return tmp_path


def test_admin_token_is_for_this_machine_only(tmp_path: Path) -> None:
    data = data_with_token(tmp_path)
    assert ApiAccess.find({"ONEHOP_API_URL": "http://localhost:99"}, data=data).token == "admin"
    with pytest.raises(ApiTokenMissing):
        ApiAccess.find({"ONEHOP_API_URL": "https://pages.example.com"}, data=data)


def test_admin_token_goes_to_the_server_of_its_own_folder_alone(tmp_path: Path) -> None:
    data = data_with_token(tmp_path)
    with pytest.raises(ServerNotRunning, match="onehop serve"):
        ApiAccess.find({"ONEHOP_API_PORT": "99"}, data=data)
    folder = DataFolder(data)
    with folder.controlled():
        with pytest.raises(ServerNotRunning):
            ApiAccess.find({}, data=data)
        folder.tell_api("http://127.0.0.1:4711")
        assert ApiAccess.find({"ONEHOP_API_PORT": "99"}, data=data) == ApiAccess("http://127.0.0.1:4711", "admin")
        assert ApiAccess.find({"ONEHOP_API_URL": "http://localhost:99"}, data=data).url == "http://localhost:99"
        assert ApiAccess.find({"ONEHOP_API_TOKEN": "mine"}, data=data) == ApiAccess("http://127.0.0.1:4711", "mine")
    with pytest.raises(ServerNotRunning):
        ApiAccess.find({}, data=data)


def test_asking_where_the_server_is_keeps_none_from_starting(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            folder.told_api()

    asker = threading.Thread(target=keep_asking)
    asker.start()
    try:
        for _ in range(10):
            with folder.controlled(), pytest.raises(DataFolderRefused, match=f"process {os.getpid()}"):
                folder.controlled().__enter__()
    finally:
        stop.set()
        asker.join()


def test_variables_win_and_wranglers_base_url_is_understood(tmp_path: Path) -> None:
    environ = {"ONEHOP_API_URL": "https://pages.example.com/client/v4/", "ONEHOP_API_TOKEN": "mine"}
    assert ApiAccess.find(environ, data=data_with_token(tmp_path)) == ApiAccess("https://pages.example.com", "mine")


def test_own_url_follows_the_configuration(tmp_path: Path) -> None:
    environ = {"ONEHOP_API_HOST": "0.0.0.0", "ONEHOP_API_PORT": "99", "ONEHOP_API_TOKEN": "x"}
    assert ApiAccess.find(environ, data=tmp_path).url == "http://127.0.0.1:99"


def test_token_is_not_in_a_printed_access() -> None:
    assert "mine" not in repr(ApiAccess("https://pages.example.com", "mine"))


def test_account_is_the_control_planes() -> None:
    assert ACCOUNT == ACCOUNT_ID_DEFAULT


def test_the_command_line_finds_the_server_of_a_data_folder_and_shows_its_token_to_no_other(serve: Serve) -> None:
    server = serve()
    with answering() as (url, asked):
        environ = {name: text for name, text in os.environ.items() if not name.startswith("ONEHOP_")}
        environ["ONEHOP_API_PORT"] = url.rpartition(":")[2]
        command = [sys.executable, "-m", "onehop", "site", "list", "--data", str(server.data)]
        found = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert (found.returncode, found.stderr) == (0, "")
        server.stop()
        refused = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert f"onehop serve --data {server.data}" in refused.stderr
    assert asked == []
