"""A real site of a thousand files, deployed whole: every file comes back, every link is answered as the files say."""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.wrangler_client import WranglerClient, target_of
from tests.real_parts import WRANGLER_VERSIONS, find_documentation_site, find_wrangler

PROJECT: Final = "python-docs"
HOST: Final = f"{PROJECT}.pages.localhost"
FILES_MIN: Final = 500
LINKS_MIN: Final = 1_000
LINKING: Final = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src"}


@dataclass(frozen=True, slots=True)
class Docs:
    server: LiveServer
    folder: Path
    files: dict[str, Path]
    """By path below the root, symlinks followed."""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docs]:
    folder = find_documentation_site()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    with serving(tmp_path_factory.mktemp("docs") / "data") as server:
        server.cli("deploy", str(folder), "--project", PROJECT, "--branch", "main", "--follow-links")
        yield Docs(server, folder, files)


class Crawler:
    """One connection, kept, as a browser would."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, target: str) -> tuple[int, str | None, bytes]:
        self.connection.request("GET", target, headers={"Host": HOST})
        response = self.connection.getresponse()
        return response.status, response.getheader("location"), response.read()


@pytest.fixture
def crawler(docs: Docs) -> Iterator[Crawler]:
    crawler = Crawler(docs.server.edge_port)
    yield crawler
    crawler.connection.close()


class LinkFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = LINKING.get(tag)
        self.links |= {value for name, value in attrs if name == wanted and value}


def page_of(path: str) -> str:
    """Where a file's page lives, in the form that needs no redirect."""
    if path == "index.html" or path.endswith("/index.html"):
        return path.removesuffix("index.html")
    return path.removesuffix(".html")


def links_of(docs: Docs) -> set[str]:
    """The path of every link within the site, on every page, as a browser would ask for it."""
    origin = f"http://{HOST}"
    links = set()
    for path, file in docs.files.items():
        if path.endswith(".html"):
            finder = LinkFinder()
            finder.feed(file.read_text(encoding="utf-8", errors="replace"))
            resolved = (urlsplit(urljoin(f"{origin}{target_of(page_of(path))}", link)) for link in finder.links)
            links |= {link.path or "/" for link in resolved if f"{link.scheme}://{link.netloc}" == origin}
    return links


def test_the_site_is_as_large_as_promised(docs: Docs) -> None:
    assert len(docs.files) >= FILES_MIN


def test_every_file_comes_back_byte_for_byte(docs: Docs, crawler: Crawler) -> None:
    wrong = []
    for path, file in docs.files.items():
        status, _location, body = crawler.get(target_of(page_of(path)))
        if (status, body) != (200, file.read_bytes()):
            wrong.append((path, status, len(body)))
    assert wrong == []


def test_every_link_is_answered_as_the_files_say(docs: Docs, crawler: Crawler) -> None:
    links = links_of(docs)
    assert len(links) >= LINKS_MIN
    front_page = docs.files["index.html"].read_bytes()
    wrong = []
    for link in sorted(links):
        path = unquote(link).removeprefix("/")
        status, location, body = crawler.get(link)
        if path.endswith(".html") and path in docs.files:
            if (status, location) != (308, target_of(page_of(path))):
                wrong.append((link, status, location))
        elif (path or "index.html") in docs.files or f"{path}index.html" in docs.files:
            file = docs.files.get(path) or docs.files[f"{path}index.html"]
            if (status, body) != (200, file.read_bytes()):
                wrong.append((link, status, location))
        elif f"{path}.html" in docs.files:
            if (status, body) != (200, docs.files[f"{path}.html"].read_bytes()):
                wrong.append((link, status, location))
        elif (status, body) != (200, front_page):
            # A dead link of the documentation's own: there is no 404.html, so the front page answers.
            wrong.append((link, status, location))
    assert wrong == []


@pytest.mark.parametrize("version", WRANGLER_VERSIONS)
def test_wrangler_finds_all_that_our_own_client_uploaded(docs: Docs, version: str, tmp_path: Path) -> None:
    """Both clients read the same files and name them alike, symlinks out of the folder included."""
    wrangler = WranglerClient(find_wrangler(version), docs.server, tmp_path)
    printed = wrangler.run("pages", "deploy", str(docs.folder), "--project-name", PROJECT, "--branch", "again")
    assert f"Uploaded 0 files ({len(docs.files)} already uploaded)" in printed
