"""Field lines (RFC 9110 5, RFC 9112 5): the names and values of a head or of trailers."""

import re
from typing import Final

from router.http1.refusal import bad_request

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110 5.6.2
VALUE: Final = rb"[^\x00-\x08\x0a-\x1f]*+"
"""RFC 9110 5.5 without the other control bytes, which it lets a recipient refuse. 0x7f and above are opaque."""
FIELD_LINES: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*+(" + VALUE + rb")\r\n|.++", re.DOTALL)
"""A line, or else everything that is left: so one pass both splits and proves, in time linear in the bytes."""
LINE_FAULT: Final = re.compile(rb"(?<!\r)\n|\r[^\n]|\x00", re.DOTALL)
"""A bare LF, a bare CR or a NUL. Lets bytes without a line's end be refused before their deadline."""

Fields = list[tuple[bytes, bytes]]


def split_field_lines(block: bytes) -> Fields:
    """`block` is empty or ends with its last line's CRLF. Names come out lower case, values without outer blanks.

    Raises Refused. A folded line (RFC 9112 5.2), a blank before the colon and a nameless line are no field lines.
    """
    lines = FIELD_LINES.findall(block)
    if lines and not lines[-1][0]:
        raise bad_request("a header line is malformed")
    return [(name.lower(), value.rstrip(b" \t")) for name, value in lines]
