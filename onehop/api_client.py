"""The API as the command line speaks to it: one call at a time, envelopes opened, refusals as errors of ours.

Calls are tried again where that can help: the server can't be reached, is busy, or answered 5xx. Whoever calls says
how often. The wait doubles each time; where the server says how long, that counts.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson

from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed

ACCOUNT: Final = b"onehop".hex().ljust(32, "0")  # control_plane.plane.ACCOUNT_ID_DEFAULT, without importing all of it
PAGES_API: Final = "/client/v4"
OWN_API: Final = "/onehop/v1"
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 600.0  # the server syncs what it was sent before it answers
BACK_OFF_S: Final = 0.5
BACK_OFF_S_MAX: Final = 8.0
RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
CODE_UPLOAD_TOKEN_REFUSED: Final = 8000013
PER_PAGE: Final = 100
TOKEN: Final = re.compile(r"[!-~]{1,512}")  # what an Authorization field can carry; the server knows the rest
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # recognised here, not listened at

Result = Any
"""What a call's `result` holds: JSON, whose shape the caller knows."""


class ApiUnreachable(CommandFailed):
    """No answer came, or none that is the API's."""


class ApiTokenMissing(CommandFailed):
    """There is no token to call the API with."""


class ApiSettingRefused(CommandFailed):
    """ONEHOP_API_URL or ONEHOP_API_TOKEN can't be what it says."""


class ApiRefused(CommandFailed):
    """The API said no. `message` is its own word."""

    def __init__(self, message: str, *, status: int, code: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """Where the API is, and the token to call it with; `cure` is what to do when it is refused."""

    url: str
    token: str = field(repr=False)
    cure: str = field(default="set ONEHOP_API_TOKEN to one that 'onehop token create' printed", compare=False)

    @classmethod
    def find(cls, environ: Mapping[str, str], *, data: Path | None) -> Self:
        """From ONEHOP_API_URL and ONEHOP_API_TOKEN; without them this machine's own, with the admin token of its data
        folder. That one is never sent to another machine. A token that is set and empty is a mistake, not a wish to be
        the admin. Raises ApiTokenMissing, ApiSettingRefused."""
        config = load_config({"data": data}, environ)
        host = "127.0.0.1" if config.api_host in ANY_ADDRESS else config.api_host
        own_url = f"http://{f'[{host}]' if ':' in host else host}:{config.api_port}"
        url = environ.get("ONEHOP_API_URL") or own_url
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ApiSettingRefused(f"ONEHOP_API_URL is {url!r}, but must be a URL such as http://127.0.0.1:8788")
        token = environ.get("ONEHOP_API_TOKEN")
        if token is not None and TOKEN.fullmatch(token) is None:
            what = "is empty" if not token.strip() else "isn't a token"
            raise ApiSettingRefused(
                f"ONEHOP_API_TOKEN {what}; unset it, or set it to what 'onehop token create' printed"
            )
        cure = "ONEHOP_API_TOKEN must be one that 'onehop token create' printed there"
        if token is None and (url == own_url or urlsplit(url).hostname in LOOPBACK):
            token = read_admin_token(DataFolder(config.data).admin_token)
            cure = f"it is the admin token of {config.data}: name the data folder of that server with --data"
        if not token:
            raise ApiTokenMissing(
                f"no API token: set ONEHOP_API_TOKEN (and ONEHOP_API_URL, now {url}), or name this machine's "
                f"data folder with --data, now {config.data}"
            )
        return cls(url.rstrip("/").removesuffix(PAGES_API), token, cure)


def read_admin_token(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return None


class ApiClient:
    """Calls one API. Used as a context manager; safe in threads."""

    def __init__(self, access: ApiAccess, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._access = access
        self._wait = wait
        self._http = httpx.Client(
            base_url=access.url,
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=access.url.startswith("https:"),  # a proxy is for the outside, not for this machine
            verify=access.url.startswith("https:"),  # else nothing to verify, and reading the roots takes 140 ms
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def project(self, method: str, site: str, below: str = "", **options: Any) -> Result:
        """Calls a path of one site in Pages' API."""
        return self.call(
            method, f"{PAGES_API}/accounts/{ACCOUNT}/pages/projects/{quote_segment(site)}{below}", **options
        )

    def create_project(self, body: Mapping[str, object]) -> Result:
        return self.call("POST", f"{PAGES_API}/accounts/{ACCOUNT}/pages/projects", body=body)

    def own_site(self, method: str, site: str, below: str = "", **options: Any) -> Result:
        """Calls a path of one site in the API that is ours."""
        return self.call(method, f"{OWN_API}/sites/{quote_segment(site)}{below}", **options)

    def projects(self) -> Iterator[Result]:
        return self.pages(f"{PAGES_API}/accounts/{ACCOUNT}/pages/projects", {})

    def deployments(self, site: str, *, environment: str = "") -> Iterator[Result]:
        """Newest first."""
        path = f"{PAGES_API}/accounts/{ACCOUNT}/pages/projects/{quote_segment(site)}/deployments"
        return self.pages(path, {"env": environment})

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[Result]:
        """Every item of a list, page by page."""
        page = 1
        while items := self.call("GET", path, query={**query, "page": str(page), "per_page": str(PER_PAGE)}, tries=3):
            yield from items
            if len(items) < PER_PAGE:
                return
            page += 1

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        form: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
        tries: int = 1,
    ) -> Result:
        """The envelope's result. `body` is sent as JSON (bytes: as they are), `form` as multipart; `token` replaces the
        API token. Raises ApiRefused, ApiUnreachable."""
        content = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else None
        request = self._http.build_request(
            method, path, content=content, files=form, params=query,
            headers={
                "Authorization": f"Bearer {token or self._access.token}",
                **({"Content-Type": "application/json"} if content is not None else {}),
            },
        )  # fmt: skip
        for attempt in range(1, tries + 1):
            try:
                return self._answer_to(request)
            except ApiUnreachable:
                if attempt == tries:
                    raise
                delay_s = None
            except ApiRefused as error:
                if attempt == tries or error.status not in RETRIED_STATUSES:
                    raise
                delay_s = error.retry_after_s
            self._wait(min(delay_s if delay_s is not None else BACK_OFF_S * 2 ** (attempt - 1), BACK_OFF_S_MAX))
        raise AssertionError("the last try returns or raises")

    def _answer_to(self, request: httpx.Request) -> Result:
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise ApiUnreachable(
                f"no answer from the API at {self._access.url} ({str(error) or type(error).__name__}); is "
                "'onehop serve' running there? ONEHOP_API_URL names another"
            ) from None
        try:
            envelope = orjson.loads(response.content)
            if envelope["success"]:
                return envelope["result"]
            first = envelope["errors"][0]
            message, code = str(first["message"]), int(first["code"])
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
            raise ApiUnreachable(
                f"{self._access.url} answered {response.status_code} with something that isn't the API's; check "
                "ONEHOP_API_URL (the port is the API's, 8788 unless set otherwise)"
            ) from None
        if response.status_code == 401:
            message = f"the API at {self._access.url} doesn't know this token; {self._access.cure}"
        raise ApiRefused(message, status=response.status_code, code=code, retry_after_s=retry_after_s(response))


def retry_after_s(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def quote_segment(text: str) -> str:
    """One segment of a path, whatever the text holds."""
    return quote(text, safe="")
