"""Requests that must be refused, as bytes: the number in spec/hardening.md, what is wrong, the answer's status.

What follows a payload on its connection (SMUGGLED) must never be parsed.
"""

from dataclasses import dataclass
from typing import Final

SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
GET: Final = b"GET / HTTP/1.1\r\n"
HOST: Final = b"Host: a.example\r\n"
POST: Final = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Payload:
    number: int
    what: str
    data: bytes
    status: int = 400

    def __str__(self) -> str:
        return f"{self.number:02}-{self.what.replace(' ', '-')}"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return POST + b"".join(line + b"\r\n" for line in lines) + END + body


def get(*lines: bytes) -> bytes:
    return GET + HOST + b"".join(line + b"\r\n" for line in lines) + END


FRAMING: Final = [
    Payload(1, "length then coding", post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG")),
    Payload(1, "coding then length", post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nG")),
    Payload(2, "length short of chunks", post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"5c\r\n")),
    Payload(3, "chunked then identity", post(b"Transfer-Encoding: chunked, identity")),
    Payload(3, "chunked twice in a list", post(b"Transfer-Encoding: chunked, chunked")),
    Payload(3, "xchunked", post(b"Transfer-Encoding: xchunked"), 501),
    Payload(3, "gzip before chunked", post(b"Transfer-Encoding: gzip, chunked"), 501),
    Payload(3, "identity", post(b"Transfer-Encoding: identity"), 501),
    Payload(3, "vertical tab", post(b"Transfer-Encoding: chunked\x0b")),
    Payload(3, "CR before value", post(b"Transfer-Encoding: \rchunked")),
    Payload(3, "parameter", post(b"Transfer-Encoding: chunked;q=1")),
    Payload(3, "two lines", post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked")),
    Payload(3, "on HTTP/1.0", b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Payload(4, "two lengths", post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello")),
    Payload(4, "same length twice", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    Payload(4, "list of one length", post(b"Content-Length: 5, 5", body=b"hello")),
    *[
        Payload(5, f"length {length!r}", post(b"Content-Length: " + length, body=b"hello"))
        for length in (b"+5", b"-0", b"-5", b"0x5", b"5_0", b"5 6", b"5;", b"5.0", b"1" * 40, "٥".encode(), b"\xb2")
    ],
    *[
        Payload(6, f"chunk size {size[:20]!r}", CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")
        for size in (b"0_2e", b"0x2", b"+2", b"-2", b"", b" 5", b"5 ", b"0" * 16 + b"5", b"5\x00", b"g")
    ],
    Payload(7, "bytes after chunk data", CHUNKED + b"5\r\nhelloXX0\r\n\r\n"),
    Payload(7, "LF after chunk data", CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    Payload(7, "CR and X after chunk data", CHUNKED + b"5\r\nhello\rX0\r\n\r\n"),
    Payload(8, "bare LF after chunk size", CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    Payload(8, "bare LF in extension", CHUNKED + b"5;a=\n\r\nhello\r\n0\r\n\r\n"),
    Payload(8, "bare LF after a header", GET + b"Host: a.example\nX: y\r\n\r\n"),
    Payload(8, "bare LF only", b"GET / HTTP/1.1\nHost: a.example\n\n"),
    Payload(8, "bare LF as last line", GET + HOST + b"\n"),
    Payload(9, "extension of a megabyte", CHUNKED + b"5;" + b"a" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n"),
    Payload(9, "a megabyte of extensions", CHUNKED + b"1;abcdefgh\r\nx\r\n" * 70_000 + b"0\r\n\r\n"),
    Payload(9, "extension with control byte", CHUNKED + b"5;a=\x01\r\nhello\r\n0\r\n\r\n"),
    Payload(10, "10000 trailers", CHUNKED + b"0\r\n" + b"x: y\r\n" * 10_000 + END),
    Payload(10, "folded trailer", CHUNKED + b"0\r\nx: y\r\n z\r\n\r\n"),
    Payload(10, "trailer without colon", CHUNKED + b"0\r\nxyz\r\n\r\n"),
    Payload(77, "empty length", post(b"Content-Length:", body=b"hello")),
    Payload(77, "empty then valid length", post(b"Content-Length: ", b"Content-Length: 5", body=b"hello")),
    Payload(77, "leading comma", post(b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n")),
    Payload(77, "empty coding", post(b"Transfer-Encoding:", body=b"0\r\n\r\n")),
    Payload(77, "chunked in two lines", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    Payload(77, "unknown coding", post(b"Transfer-Encoding: zork"), 501),
    Payload(78, "block ended by CR", GET + HOST + b"\rX"),
    Payload(78, "chunk line ended by CR", CHUNKED + b"5\rXhello\r\n0\r\n\r\n"),
    Payload(78, "CR as line end", GET + b"Host: a.example\rX: y\r\n\r\n"),
    Payload(78, "CR in request line", b"GET / HTTP/1.1\rX: y\r\n" + HOST + END),
    Payload(78, "line without colon", get(b"just words")),
    Payload(78, "no name and no value", get(b":")),
]

HEADS: Final = [
    Payload(11, "folded line", get(b"X: y", b" z")),
    Payload(11, "folded by tab", get(b"X: y", b"\tz")),
    Payload(12, "space before colon", GET + b"Host : a.example\r\n\r\n"),
    Payload(12, "tab before colon", get(b"X\t: y")),
    Payload(13, "blank line first", GET + b" \r\n" + HOST + END),
    Payload(13, "space before first header", GET + b" X: y\r\n" + HOST + END),
    Payload(13, "tab before first header", GET + b"\tHost: a.example\r\n\r\n"),
    Payload(14, "NUL in value", get(b"X: a\x00b")),
    Payload(14, "CR in value", get(b"X: a\rb")),
    Payload(14, "LF in value", get(b"X: a\nb")),
    Payload(14, "control byte in value", get(b"X: a\x01b")),
    Payload(14, "NUL in name", get(b"X\x00: a")),
    Payload(15, "empty name", get(b": a")),
    Payload(15, "parenthesis in name", get(b"X(y): a")),
    Payload(15, "high byte in name", get(b"X\xe9: a")),
    Payload(15, "space in name", get(b"X y: a")),
    Payload(16, "quoted method", b'G=":<> / HTTP/1.1\r\n' + HOST + END),
    Payload(16, "lower case method", b"get / HTTP/1.1\r\n" + HOST + END),
    Payload(16, "method of 8 kB", b"G" * 8192 + b" / HTTP/1.1\r\n" + HOST + END),
    Payload(16, "no method", b" / HTTP/1.1\r\n" + HOST + END),
    Payload(17, "HTTP/1.32", b"GET / HTTP/1.32\r\n" + HOST + END),
    Payload(17, "HTTP/1.10", b"GET / HTTP/1.10\r\n" + HOST + END),
    Payload(17, "HTTP/01.1", b"GET / HTTP/01.1\r\n" + HOST + END),
    Payload(17, "HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + END, 505),
    Payload(17, "HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + END, 505),
    Payload(17, "HTTP/0.9", b"GET / HTTP/0.9\r\n" + HOST + END, 505),
    Payload(17, "no version", b"GET /\r\n"),
    Payload(17, "lower case version", b"GET / http/1.1\r\n" + HOST + END),
    Payload(17, "preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Payload(17, "two spaces", b"GET  / HTTP/1.1\r\n" + HOST + END),
    Payload(17, "tab for space", b"GET\t/ HTTP/1.1\r\n" + HOST + END),
    Payload(17, "space at the end", b"GET / HTTP/1.1 \r\n" + HOST + END),
    Payload(19, "unknown expectation", post(b"Expect: the-moon", b"Content-Length: 5"), 417),
    Payload(21, "no Host", GET + END),
    Payload(21, "two Hosts", GET + HOST + b"Host: b.example\r\n\r\n"),
    Payload(21, "same Host twice", GET + HOST + HOST + END),
    Payload(21, "two Hosts on HTTP/1.0", b"GET / HTTP/1.0\r\n" + HOST + HOST + END),
    Payload(21, "list of Hosts", GET + b"Host: a, b\r\n\r\n"),
    Payload(21, "empty Host", GET + b"Host:\r\n\r\n"),
    *[
        Payload(23, f"Host {host!r}", GET + b"Host: " + host + b"\r\n\r\n")
        for host in (b"u:p@a", b"u@a", b"a:abc", b"a:-1", b"a:999999", b"a/../x", b"a#x", b"a b", b"a?b", b"a\\b")
    ],
    *[
        Payload(23, f"Host {host!r}", GET + b"Host: " + host + b"\r\n\r\n")
        for host in (b"[::1", b"::1", b"[a b]", b"a%zz", b"<a>", b":80", b"a\x7f", b"\xc3\xbc.example")
    ],
    Payload(26, "Host of 64 kB", GET + b"Host: " + b"a" * 65536 + b"\r\n\r\n", 431),
    Payload(27, "CONNECT", b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + END),
    Payload(27, "CONNECT with a path", b"CONNECT /x HTTP/1.1\r\n" + HOST + END),
    Payload(27, "CONNECT with a URI", b"CONNECT http://a.example/ HTTP/1.1\r\n" + HOST + END),
    Payload(27, "authority form", b"GET a.example:80 HTTP/1.1\r\n" + HOST + END),
    Payload(27, "asterisk for GET", b"GET * HTTP/1.1\r\n" + HOST + END),
    Payload(27, "asterisk without Host", b"OPTIONS * HTTP/1.1\r\n\r\n"),
    Payload(27, "user in absolute form", b"GET http://u@a.example/ HTTP/1.1\r\n" + HOST + END),
    Payload(27, "no host in absolute form", b"GET http:///x HTTP/1.1\r\n" + HOST + END),
    Payload(27, "another scheme", b"GET ftp://a.example/ HTTP/1.1\r\n" + HOST + END),
    Payload(27, "absolute form without Host", b"GET http://a.example/ HTTP/1.1\r\n\r\n"),
    Payload(27, "fragment", b"GET /x#y HTTP/1.1\r\n" + HOST + END),
    Payload(27, "control byte in target", b"GET /\x01 HTTP/1.1\r\n" + HOST + END),
    Payload(27, "NUL in target", b"GET /\x00 HTTP/1.1\r\n" + HOST + END),
    Payload(32, "header of a megabyte", get(b"X: " + b"a" * 1_000_000), 431),
    Payload(32, "header that never ends", GET + HOST + b"X: " + b"a" * 1_000_000, 431),
    Payload(32, "10000 headers", get(*[b"X: y"] * 10_000), 431),
    Payload(32, "101 headers", get(*[b"X: y"] * 100), 431),
    Payload(32, "target of 64 kB", b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n" + HOST + END, 414),
    Payload(32, "target of a byte too many", b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\n" + HOST + END, 414),
    Payload(32, "target that never ends", b"GET /" + b"a" * 65536, 414),
    Payload(32, "cookie of 10 MB", get(b"Cookie: " + b"a" * 10_000_000), 431),
    Payload(32, "body above the limit", post(b"Content-Length: 200000000"), 413),
    Payload(32, "chunk above the limit", CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", 413),
    Payload(76, "U+00A0 around a length", post(b"Content-Length: \xa05\xa0", body=b"hello")),
    Payload(76, "U+0085 around a coding", post(b"Transfer-Encoding: \x85chunked\x85", body=b"0\r\n\r\n")),
    Payload(76, "form feed around a length", post(b"Content-Length: \x0c5", body=b"hello")),
    Payload(76, "U+00A0 before a name", get(b"\xa0X: y")),
    Payload(76, "U+00A0 after the Host", GET + b"Host: a.example\xa0\r\n\r\n"),
    Payload(78, "binary of a TLS client", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
]

REFUSED: Final = FRAMING + HEADS
