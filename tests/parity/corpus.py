"""Sites made by hand, one for each group of rules in spec/pages-serving.md, and what to ask of each.

| site | rules |
|---|---|
| plain | §1 decoding, §2 lookup and html handling, §2.3's whole matrix, §2.4 locations |
| empty | §3.5 a bare 404, §6.3 methods where nothing exists |
| spa | §3.4, §12.20 the single-page fallback, its validators and types |
| missing-pages | §3.2, §3.3 the walk to the nearest 404.html, §12.3, §12.34 |
| types | §7 each content type, charset, extension case |
| redirects | §4.2 grammar and statuses, §4.5 answers, queries, methods |
| dynamic | §4.3, §4.4 splats, placeholders, order, literal characters |
| proxied | §4.6 rewrites with status 200 |
| shadowed | §12.36 a rule above everything |
| static-limit, dynamic-limit | §4.1, §12.25 |
| headers | §5.1, §5.2, §5.3 grammar, matching, order of application |
| headers-limit | §12.24 |
| conditionals | §6.1, §6.2 the header matrix, If-None-Match, ignored conditions |

A site is a folder under sites/: `files` lists its paths, a line each; `_redirects` and `_headers` are its author's own;
`asks` holds a request a line, its method, target and fields parted by tabs. A target's characters above ASCII go out
as their UTF-8 bytes. `ETAG-OF "/path"` stands for that file's validator.

Differences that Onehop has on purpose are known to differences.py.
"""

from pathlib import Path
from typing import Final

from tests.parity.asking import Ask, Site

SITES_FOLDER: Final = Path(__file__).parent / "sites"
STATIC_MAX: Final = 2_000
DYNAMIC_MAX: Final = 100
HEADER_RULES_MAX: Final = 100
OVER: Final = 5


def content_of(path: str) -> bytes:
    """Each file says where it lies, so that a wrong file cannot pass for the right one."""
    match path:
        case "empty.txt":
            return b""
        case "big.bin":
            return bytes(range(256)) * 40
        case _:
            return f"the file {path}\n".encode()


def files_of(*paths: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((path, content_of(path)) for path in paths)


def gets(*targets: str) -> tuple[Ask, ...]:
    return tuple(Ask(target) for target in targets)


def read_site(folder: Path) -> Site:
    lines = (folder / "asks").read_text().splitlines()
    rule_texts = [path.read_text() if path.exists() else "" for path in (folder / "_redirects", folder / "_headers")]
    return Site(
        name=folder.name,
        files=files_of(*(folder / "files").read_text().splitlines()),
        redirects=rule_texts[0],
        headers=rule_texts[1],
        asks=tuple(parse_ask(line) for line in lines if line and not line.startswith("#")),
        covers=lines[0].removeprefix("# "),
    )


def parse_ask(line: str) -> Ask:
    method, target, *fields = line.split("\t")
    pairs = tuple((name, value) for name, _colon, value in (field.partition(": ") for field in fields))
    return Ask(target.encode().decode("latin-1"), method, pairs)


# A rule that fails after it was counted, and a duplicate, use up the limit too; so does the rule that names the site.
STATIC_LIMIT: Final = Site(
    name="static-limit",
    covers="§4.1 §12.25",
    files=files_of("index.html", "404.html"),
    redirects="".join(
        (
            "/bad /x 999\n/dup /1\n/dup /2\n",
            *(f"/r{number} /t{number}\n" for number in range(STATIC_MAX + OVER)),
            f"/w/* /z/:splat\n/after /late\n/long /{'g' * 1995}\n/long2 /{'g' * 1990}\n",
        )
    ),
    headers="",
    asks=gets(
        *(f"/r{number}" for number in (0, *range(STATIC_MAX - 8, STATIC_MAX + OVER))),
        *("/dup", "/w/x", "/after", "/long", "/long2"),
    ),
)

DYNAMIC_LIMIT: Final = Site(
    name="dynamic-limit",
    covers="§4.1 §4.3 §12.25",
    files=files_of("index.html", "404.html"),
    redirects="".join(
        (
            "/static /s\n/badcount/* /x 999\n/d0/* /e0/:splat\n/d0/* /dup\n/plain-counts /p\n",
            *(f"/d{number}/* /e{number}/:splat\n" for number in range(1, DYNAMIC_MAX + OVER)),
            "/late-static /l\n",
        )
    ),
    headers="",
    asks=gets(
        *(f"/d{number}/x" for number in (0, 1, *range(DYNAMIC_MAX - 8, DYNAMIC_MAX + OVER))),
        *("/static", "/plain-counts", "/late-static", "/badcount/x"),
    ),
)

HEADERS_LIMIT: Final = Site(
    name="headers-limit",
    covers="§5.1 §12.24",
    files=files_of("index.html"),
    redirects="",
    headers="".join(f"/h{number}\n  X-N: {number}\n" for number in range(HEADER_RULES_MAX + OVER)),
    asks=gets(*(f"/h{number}" for number in (0, *range(HEADER_RULES_MAX - 5, HEADER_RULES_MAX + OVER)))),
)

SITES: Final = (
    *(read_site(folder) for folder in sorted(SITES_FOLDER.iterdir())),
    STATIC_LIMIT,
    DYNAMIC_LIMIT,
    HEADERS_LIMIT,
)
