"""A line of the access log: one printable line of JSON whatever a client sends, without what may be secret."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onehop.config import load_config
from router.access_record import VALUE_BYTES_MAX, AccessRecord, Asked, render
from router.forwarded import TrustedProxies

PIPE_WRITE_BYTES_MAX = 4096


def line_of(asked: Asked | bytes | None, *, proxies: TrustedProxies | None = None, **more: Any) -> dict[str, Any]:
    record = AccessRecord(1_700_000_000.25, "192.0.2.1", asked, 200, 12, **more)
    line: dict[str, Any] = json.loads(render(record, proxies or TrustedProxies()))
    return line


def test_a_request_known_by_its_bytes_is_taken_apart() -> None:
    line = line_of(
        b"GET /a/b?token=secret HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/8\r\n"
        b"Referer: https://other.example/page?session=secret#part\r\nCookie: secret\r\n"
        b"Authorization: Bearer secret\r\n\r\n"
    )
    assert line == {
        "time": "2023-11-14T22:13:20.250Z", "client": "192.0.2.1", "method": "GET", "host": "a.example", "path": "/a/b",
        "status": 200, "bytes": 12, "agent": "curl/8", "referer": "https://other.example/page",
    }  # fmt: skip


def test_a_referrer_with_a_password_or_of_another_kind_is_left_out() -> None:
    for referrer in (b"https://me:secret@other.example/", b"android-app://secret", b"?secret", b"https://me:secret@"):
        assert line_of(Asked(b"GET", b"/", [(b"referer", referrer)]))["referer"] == ""


def test_what_was_refused_unread_has_only_its_sender_and_its_status() -> None:
    assert line_of(None).keys() == {"time", "client", "status", "bytes"}


def test_an_answer_that_was_cut_and_how_long_it_took() -> None:
    line = line_of(Asked(b"GET", b"/", []), elapsed_ns=1_234_567, cut=True)
    assert (line["ms"], line["cut"]) == (1.235, True)


def test_the_client_is_whom_trusted_proxies_name() -> None:
    networks = load_config({"trusted_proxies": "192.0.2.0/24"}, {}).trusted_proxies
    asked = Asked(b"GET", b"/", [(b"x-forwarded-for", b"198.51.100.7")])
    assert line_of(asked, proxies=TrustedProxies(networks))["client"] == "198.51.100.7"
    assert line_of(asked)["client"] == "192.0.2.1"


@given(st.binary(max_size=3_000), st.binary(max_size=3_000), st.binary(max_size=3_000))
def test_a_line_is_one_line_of_printable_ascii_that_a_pipe_takes_whole(host: bytes, path: bytes, value: bytes) -> None:
    fields = [(b"host", host), (b"user-agent", value), (b"referer", b"http://a/" + value)]
    data = render(AccessRecord(0.0, "::1", Asked(b"GET", path, fields), 200, 0), TrustedProxies())
    assert data.endswith(b"}\n")
    assert all(0x20 <= byte < 0x7F for byte in data[:-1])
    assert len(data) < PIPE_WRITE_BYTES_MAX
    line = json.loads(data)
    assert all(len(line[name]) <= VALUE_BYTES_MAX for name in ("host", "path", "agent", "referer"))
