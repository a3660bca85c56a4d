"""Templates to answers: everything that varies is escaped, and the headers leave a page no authority but its own.

No style or script is inline, so that the policy can forbid both: what an instance returned may hold any markup.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from workflows.spans import show_span
from workflows.timeline import Entry
from workflows.wording import STATE_NAMES, show_time, tell

PAGE_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all, browsers send our own forms with "Origin: null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
}
ASSET_TYPES: Final[Mapping[str, str]] = {
    "pages.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
OWN_PACKAGE: Final = "workflows.pages"
JSON_CHARACTERS_MAX: Final = 20_000
BAR_UNITS: Final = 1000
BAR_MIN: Final = 6


def read_asset(name: str) -> bytes:
    return files(OWN_PACKAGE).joinpath("assets", name).read_bytes()


class Templates:
    """`base` is the path below which the pages are, without a slash at its end; `more_packages` bring templates of
    their own, for pages around these."""

    def __init__(self, base: str, *, sign_out: str | None = None, more_packages: Sequence[str] = ()) -> None:
        self.base = base
        self.assets = {name: read_asset(name) for name in ASSET_TYPES}
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(each) for each in (OWN_PACKAGE, *more_packages)]),
            autoescape=True, undefined=StrictUndefined, auto_reload=False, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._environment.globals.update(
            base=base,
            sign_out=sign_out,
            assets=f"{base}/-/assets",
            assets_version=sha256(b"".join(self.assets.values())).hexdigest()[:12],
            link=self.link,
            link_instance=self.link_instance,
            span=show_span,
            time=show_time,
            tell=tell,
            json=show_json,
            measure_bar=measure_bar,
            state_names=STATE_NAMES,
        )

    def link(self, workflow: str, **query: str | None) -> str:
        given = {name: value for name, value in query.items() if value}
        return f"{self.base}/{quote(workflow, safe='')}" + (f"?{urlencode(given)}" if given else "")

    def link_instance(self, workflow: str, instance: str) -> str:
        return f"{self.link(workflow)}/{quote(instance, safe='')}"

    def render(self, name: str, *, http_status: int = 200, **context: Any) -> Response:
        text = self._environment.get_template(name).render(**context)
        return HTMLResponse(text, status_code=http_status, headers=PAGE_HEADERS)

    def asset(self, name: str) -> Response | None:
        if name not in self.assets:
            return None
        headers = {**PAGE_HEADERS, "cache-control": "public, max-age=31536000, immutable"}  # its URL holds its hash
        return Response(self.assets[name], media_type=ASSET_TYPES[name], headers=headers)


def show_json(value: object) -> str:
    text = orjson.dumps(value).decode("utf-8")
    if len(text) <= JSON_CHARACTERS_MAX:  # what is nested deeply grows a hundredfold when indented
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode("utf-8")
    if len(text) <= JSON_CHARACTERS_MAX:
        return text
    return f"{text[:JSON_CHARACTERS_MAX]}…\n({len(text):,} characters; the API has them all)"


def measure_bar(entry: Entry, whole_ms: int) -> tuple[int, int]:
    """When an entry began and how long it took, in thousandths of the whole; never too short to be seen."""
    whole = max(whole_ms, 1)
    left = min(BAR_UNITS - BAR_MIN, entry.after_ms * BAR_UNITS // whole)
    return left, max(BAR_MIN, min(BAR_UNITS - left, entry.span_ms * BAR_UNITS // whole))
