"""A posted form (multipart/form-data) to its parts, by name. Order means nothing; a name that comes twice is refused.

The framing is python-multipart's; what this adds is bounds, and the disposition's own small grammar.
"""

from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from control_plane.errors import BodyUnreadable

PARTS_COUNT_MAX: Final = 100
PART_HEADERS_BYTES_MAX: Final = 16 * 1024


@dataclass(slots=True)
class Assembly:
    """The parts so far, and the one that is being read."""

    parts: dict[str, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    headers_bytes: int = 0
    disposition: bytes | None = None
    body: list[bytes] = field(default_factory=list)
    is_complete: bool = False

    def begin_part(self) -> None:
        if len(self.parts) >= PARTS_COUNT_MAX:
            raise BodyUnreadable(f"the form has over {PARTS_COUNT_MAX} parts")
        self.disposition, self.body, self.headers_bytes = None, [], 0

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self.header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self.header_value += data[start:end]

    def _count_header_bytes(self, bytes_count: int) -> None:
        self.headers_bytes += bytes_count
        if self.headers_bytes > PART_HEADERS_BYTES_MAX:
            raise BodyUnreadable(f"a part of the form has over {PART_HEADERS_BYTES_MAX} bytes of headers")

    def end_header(self) -> None:
        if bytes(self.header_name).lower() == b"content-disposition":
            self.disposition = bytes(self.header_value)
        self.header_name.clear()
        self.header_value.clear()

    def add_body(self, data: bytes, start: int, end: int) -> None:
        self.body.append(data[start:end])

    def end_part(self) -> None:
        kind, options = parse_options_header(self.disposition or b"")
        raw_name = options.get(b"name")
        if kind != b"form-data" or raw_name is None:
            raise BodyUnreadable("a part of the form has no name")
        name = raw_name.decode("utf-8", "replace")
        if name in self.parts:
            raise BodyUnreadable(f"the form has two parts named {name[:64]!r}")
        self.parts[name] = b"".join(self.body)

    def end_form(self) -> None:
        self.is_complete = True


def parse_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """Raises BodyUnreadable. `content_type` is the request's, which names the boundary."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BodyUnreadable("a deployment is posted as multipart/form-data, with a boundary")
    assembly = Assembly()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": assembly.begin_part,
                "on_header_field": assembly.add_header_name,
                "on_header_value": assembly.add_header_value,
                "on_header_end": assembly.end_header,
                "on_part_data": assembly.add_body,
                "on_part_end": assembly.end_part,
                "on_end": assembly.end_form,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise BodyUnreadable(f"the form can't be read: {error}") from None
    if not assembly.is_complete:
        raise BodyUnreadable("the form ends before its last boundary")
    return assembly.parts
