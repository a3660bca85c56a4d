"""From a decoded path to what answers it: the html handling and the 404 walk of Pages (pages-serving 2 and 3).

Pure: whether a file exists is asked of `find`. Paths are decoded text, "/" first; redirects name decoded paths too,
and `html_location` writes them as a Location.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from asset_server.manifest import NOT_FOUND_PAGE, Asset
from asset_server.url import encode_path

Find = Callable[[str], Asset | None]

HTML: Final = ".html"
INDEX: Final = "index"
INDEX_PAGE: Final = "index.html"
LEADING_SLASHES: Final = re.compile(r"(?:[/\\\s]|%2[Ff]|%5[Cc]|%09)+")
"""What a browser could read as the "//" before another host; the escapes are literal text in a decoded path."""


@dataclass(frozen=True, slots=True)
class Serve:
    asset: Asset


@dataclass(frozen=True, slots=True)
class HtmlRedirect:
    """308 to `path`, which may not exist."""

    path: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """`page` is the nearest 404.html, if there is one."""

    page: Asset | None


def look_up(path: str, find: Find) -> Serve | HtmlRedirect | None:
    """The file or redirect that `path` itself leads to; None where the not-found steps begin."""
    return _look_up_folder(path, find) if path.endswith("/") else _look_up_file(path, find)


def _look_up_folder(path: str, find: Find) -> Serve | HtmlRedirect | None:
    if (asset := find(path + INDEX_PAGE)) is not None:
        return Serve(asset)
    if path.endswith(f"/{INDEX}/"):
        return HtmlRedirect(path.removesuffix(f"{INDEX}/"))
    if find(path[:-1] + HTML) is not None:
        return HtmlRedirect(path[:-1])
    return None


def _look_up_file(path: str, find: Find) -> Serve | HtmlRedirect | None:
    if (asset := find(path)) is not None:
        if not path.endswith(HTML):
            return Serve(asset)
        if path.endswith(f"/{INDEX_PAGE}"):
            return HtmlRedirect(path.removesuffix(INDEX_PAGE))
        bare = path.removesuffix(HTML)
        # "/x.html" would lead to the file "/x", and "/.html" to the front page: neither is this file.
        return Serve(asset) if bare == "/" or find(bare) is not None else HtmlRedirect(bare)
    if path.endswith(f"/{INDEX}"):
        return HtmlRedirect(path.removesuffix(INDEX))
    if (asset := find(path + HTML)) is not None:
        return Serve(asset)
    if find(f"{path}/{INDEX_PAGE}") is not None:
        return HtmlRedirect(path + "/")
    return None


def look_up_missing(path: str, find: Find, *, not_found_depth: int) -> Serve | NotFound:
    """The nearest 404.html upwards from `path`; where there is none on the way, `/index.html` as a single-page app.

    `not_found_depth` is the manifest's: above the deepest 404.html nothing is asked, however many segments come in.
    """
    folders = path.split("/")[:-1]
    for depth in range(min(len(folders), not_found_depth), 0, -1):
        if (page := find("/".join((*folders[:depth], NOT_FOUND_PAGE)))) is not None:
            return NotFound(page)
    if (front_page := find(f"/{INDEX_PAGE}")) is not None:
        return Serve(front_page)
    return NotFound(None)


def html_location(path: str, query: str) -> str:
    """The Location of an HtmlRedirect: a path of this host, whatever `path` begins with, and the request's query.

    Encoded so that it names the path it means (differences 2); Pages sends it decoded.
    """
    leading = LEADING_SLASHES.match(path)
    return encode_path(path if leading is None else "/" + path[leading.end() :]) + query
