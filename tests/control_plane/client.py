"""A control plane on a data folder, and a client that speaks to it through its ASGI app, as wrangler would."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time as unix_time_s
from typing import Any

import httpx

from asset_server.blobs import BlobStore, asset_key, extension_of
from asset_server.content_type import content_type_of
from asset_server.manifest import Manifest
from control_plane.app import create_app
from control_plane.clock import Clock
from control_plane.documents import PublicUrl
from control_plane.plane import ControlPlane, PlaneSecrets
from control_plane.tokens import Access
from functions.bundle import BundleStore
from functions.event_sink import EventSink
from functions.key_values import KeyValueStore
from router.hashed import read_route
from router.hashing import KeyRing
from router.hostname import Hostname
from router.key_files import make_key
from router.kv.schema import Database
from router.kv.store import open_store
from router.pipeline import Pipeline
from router.site_names import SiteNames
from tests.envelope.answer import Answer

PAGES_DOMAIN = "pages.test"
PROJECTS = "/client/v4/accounts/acct/pages/projects"
BOUNDARY = "----formdata-undici-0123456789ab"
Files = Mapping[str, bytes]


@dataclass
class FakeTime:
    """Unix time that passes when a test says so. It begins now, since files carry the machine's own times."""

    now_s: float = field(default_factory=unix_time_s)

    def read(self) -> float:
        return self.now_s


@contextmanager
def open_plane(
    data: Path, time: FakeTime, *, new_id: Callable[[], str] | None = None, keys: KeyRing | None = None
) -> Iterator[ControlPlane]:
    ring = keys if keys is not None else KeyRing(make_key())
    with ExitStack() as stack:
        store = stack.enter_context(open_store(data / "kv", create=True))
        yield stack.enter_context(
            ControlPlane(
                store=store,
                blobs=BlobStore(data),
                bundles=BundleStore(data / "bundles"),
                key_values=stack.enter_context(KeyValueStore.opened(data / "functions" / "key-values.sqlite")),
                events=stack.enter_context(EventSink.opened(data / "functions" / "events.sqlite")),
                keys=lambda: ring,
                names=SiteNames(PAGES_DOMAIN),
                secrets=PlaneSecrets.settle(store, data / "secrets"),
                url=PublicUrl("http", 8787),
                clock=Clock(now_s=time.read, new_id=new_id) if new_id is not None else Clock(now_s=time.read),
            )
        )


def hashes_of(files: Files) -> dict[str, str]:
    return {path: asset_key(content, extension_of(path)) for path, content in files.items()}


def form_of(parts: Mapping[str, bytes | str]) -> bytes:
    chunks = []
    for name, content in parts.items():
        body = content.encode() if isinstance(content, str) else content
        chunks.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + body + b"\r\n"
        )
    return b"".join(chunks) + f"--{BOUNDARY}--\r\n".encode()


class Api:
    """A client with a token. Speaks as wrangler does: JSON that says it is text."""

    def __init__(self, plane: ControlPlane, token: str, time: FakeTime) -> None:
        self.plane = plane
        self.token = token
        self.time = time
        transport = httpx.ASGITransport(create_app(plane))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://api.test")

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """`path` is below the account's projects unless it begins with one of the API's prefixes."""
        if body is not None:
            content = json.dumps(body).encode()
        response = await self.client.request(
            method,
            path if path.startswith(("/client/", "/onehop/", "/pages/", "/user")) else PROJECTS + path,
            content=content,
            headers={
                "authorization": f"Bearer {token or self.token}",
                "content-type": "text/plain;charset=UTF-8",
                **(headers or {}),
            },
        )
        return Answer(response.status_code, response.json(), response.headers)

    def token_for(self, access: Access, *, site: str | None = None) -> str:
        with self.plane.store.write() as transaction:
            site_no = None
            if site is not None:
                key = transaction.get(Database.SITE_NAMES, site.encode())
                assert key is not None
                site_no = int.from_bytes(key)
            return self.plane.tokens.issue(transaction, name="test", access=access, site_no=site_no).text

    async def create(self, name: str = "example", **members: object) -> dict[str, Any]:
        document: dict[str, Any] = (
            await self.call("POST", "", {"name": name, "production_branch": "main", **members})
        ).result
        return document

    async def upload_token(self, site: str = "example") -> str:
        jwt: str = (await self.call("GET", f"/{site}/upload-token")).result["jwt"]
        return jwt

    async def upload(self, files: Files, jwt: str) -> None:
        """The three asset calls, as wrangler makes them."""
        keys = hashes_of(files)
        hashes = {"hashes": list(keys.values())}
        missing = (await self.call("POST", "/pages/assets/check-missing", hashes, token=jwt)).result
        uploads = [
            {
                "key": keys[path],
                "value": b64encode(content).decode(),
                "metadata": {"contentType": content_type_of(path).partition(";")[0]},
                "base64": True,
            }
            for path, content in files.items()
            if keys[path] in missing
        ]
        if uploads:
            assert (await self.call("POST", "/pages/assets/upload", uploads, token=jwt)).status == 200
        assert (await self.call("POST", "/pages/assets/upsert-hashes", hashes, token=jwt)).status == 200

    async def post(self, files: Files, *, site: str = "example", **parts: bytes | str) -> Answer:
        """The deployment's post alone. Part names take `__dot__` for a dot."""
        named = {name.replace("__dot__", "."): content for name, content in parts.items()}
        body = form_of({"manifest": json.dumps(hashes_of(files)), **named})
        return await self.call(
            "POST",
            f"/{site}/deployments",
            content=body,
            headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        )

    async def deploy(self, files: Files, *, site: str = "example", **parts: bytes | str) -> dict[str, Any]:
        await self.upload(files, await self.upload_token(site))
        document: dict[str, Any] = (await self.post(files, site=site, **parts)).result
        return document

    # -- what the edges see --------------------------------------------------------------------------------------

    def route(self, host: str) -> Pipeline | None:
        with self.plane.store.read() as snapshot:
            return read_route(snapshot, self.plane.keys(), Hostname(host))

    def hosts(self) -> int:
        with self.plane.store.read() as snapshot:
            return snapshot.count(Database.ROUTES)

    def paths(self, host: str) -> dict[str, str]:
        """What a host shows: path to asset hash; empty without a route."""
        pipeline = self.route(host)
        return self._assets(pipeline.manifest) if pipeline is not None else {}

    def kept(self, host: str) -> set[str]:
        """The paths of what a host keeps from the deployments that it showed before."""
        return set(self._kept(host))

    def kept_keys(self, host: str) -> set[str]:
        return set(self._kept(host).values())

    def _kept(self, host: str) -> dict[str, str]:
        pipeline = self.route(host)
        assert pipeline is not None
        return self._assets(pipeline.kept) if pipeline.kept is not None else {}

    def _assets(self, content_id: str) -> dict[str, str]:
        with self.plane.store.read() as snapshot:
            encoded = snapshot.get(Database.MANIFESTS, content_id.encode())
            assert encoded is not None
            return {path: asset.key.hex() for path, asset in Manifest(encoded).assets()}


def host_of(url: str) -> str:
    match = re.fullmatch(r"http://([a-z0-9.-]+):8787", url)
    assert match is not None, url
    return match[1]
