"""HTTP/1.1 requests, read strictly: bytes in, heads and bodies out, or the one refusal that ends the connection.

    limits.py        how much of everything a client may send
    request_line.py  method, target, version            field_lines.py  names and values, also of trailers
    head.py          both of them together: Host, framing, persistence
    chunked.py       the chunked coding                 refusal.py      what a refused client gets
    request_reader.py  a connection's bytes cut into messages, however TCP cut them

Nothing here knows a socket, a clock or ASGI. Bytes stay bytes: Python's text functions strip and fold what isn't
ASCII, and `int` takes `5_0`. Whatever has two readings is refused, since the other reading may be a proxy's.
"""
