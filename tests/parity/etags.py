"""The validator that Pages gives a file, worked out here and not by either server (spec/pages-serving.md §10)."""

import base64
import posixpath
import re
from typing import Final

import blake3

from tests.parity.asking import Ask, Site

ETAG_OF: Final = re.compile(r'ETAG-OF "(/[^"]*)"')


def etag_of(path: str, content: bytes) -> str:
    # Node's extname and Python's splitext agree, on names that begin with a dot or hold several too.
    extension = posixpath.splitext(path)[1][1:]
    return f'"{blake3.blake3(base64.b64encode(content) + extension.encode()).hexdigest()[:32]}"'


def with_etags(ask: Ask, site: Site) -> Ask:
    """The request with each `ETAG-OF "/path"` replaced by that file's validator."""
    contents = dict(site.files)

    def replacement(match: re.Match[str]) -> str:
        path = match[1].removeprefix("/")
        return etag_of(path, contents[path]) if path in contents else '"missing"'

    return Ask(ask.target, ask.method, tuple((name, ETAG_OF.sub(replacement, value)) for name, value in ask.fields))
