"""A posted form: what wrangler sends, and what nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import BodyUnreadable
from control_plane.multipart import PARTS_COUNT_MAX, parse_form

BOUNDARY = "----formdata-undici-046623256590"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, *, file: bool = False) -> bytes:
    filename = f'; filename="{name}"\r\nContent-Type: application/octet-stream' if file else ""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode() + content + b"\r\n"
    )


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def test_parts_come_out_by_name() -> None:
    body = form(part("manifest", b"{}"), part("_headers", b"/*\n  x: y\r\n", file=True))
    assert parse_form(body, CONTENT_TYPE) == {"manifest": b"{}", "_headers": b"/*\n  x: y\r\n"}


def test_pages_api_6_8_the_order_of_parts_means_nothing() -> None:
    one, two = part("manifest", b"{}"), part("branch", b"main")
    assert parse_form(form(one, two), CONTENT_TYPE) == parse_form(form(two, one), CONTENT_TYPE)


def test_an_inner_form_with_a_boundary_of_its_own_stays_whole() -> None:
    inner = b'------inner\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n------inner--\r\n'
    assert parse_form(form(part("_worker.bundle", inner, file=True)), CONTENT_TYPE) == {"_worker.bundle": inner}


def test_the_boundary_may_be_quoted() -> None:
    quoted = f'multipart/form-data; boundary="{BOUNDARY}"'
    assert parse_form(form(part("branch", b"main")), quoted) == {"branch": b"main"}


@given(st.binary(max_size=200))
def test_content_comes_out_byte_for_byte(content: bytes) -> None:
    assert parse_form(form(part("a", content, file=True)), CONTENT_TYPE) == {"a": content}


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x"])
def test_what_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(BodyUnreadable):
        parse_form(form(part("a", b"")), content_type)


@pytest.mark.parametrize(
    "body",
    [
        form(part("a", b"1"), part("a", b"2")),
        part("a", b"1"),
        form(part("a", b"1"))[:-10],
        form(f"--{BOUNDARY}\r\n\r\nno name\r\n".encode()),
        form(f"--{BOUNDARY}\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n".encode()),
        form(*(part(str(number), b"") for number in range(PARTS_COUNT_MAX + 1))),
        form(f"--{BOUNDARY}\r\nX: {'x' * 20_000}\r\n\r\n\r\n".encode()),
        b"",
        b"--other\r\n\r\n",
    ],
)
def test_a_broken_or_oversized_form_is_refused(body: bytes) -> None:
    with pytest.raises(BodyUnreadable):
        parse_form(body, CONTENT_TYPE)


@given(st.data())
def test_hardening_56_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(form(part("manifest", b"{}"), part("branch", b"main")))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_form(bytes(body), CONTENT_TYPE)
    except BodyUnreadable:
        return
