"""A deployed site in a few words: files, rule files, and requests to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asset_server.asset_keys import asset_key
from asset_server.blobs import BlobStore, Upload
from asset_server.content_type import content_type_of, extension_of
from asset_server.header_rules import HeaderRules
from asset_server.manifest import Asset, Manifest, encode_manifest, manifest_id
from asset_server.message import AssetRequest, Response
from asset_server.redirects import RedirectRules
from asset_server.server import AssetServer
from asset_server.url import parse_target

NOW_S = 1_700_000_000
KEPT_UNTIL_S = NOW_S + 1


@dataclass
class Site:
    """One deployment behind an AssetServer of its own."""

    store: BlobStore
    server: AssetServer
    manifest: Manifest
    id: str
    assets: dict[str, Asset]
    kept: Manifest | None = None
    now_s: list[float] = field(default_factory=lambda: [float(NOW_S)])

    def get(
        self,
        target: str,
        headers: Mapping[str, str | bytes] | None = None,
        *,
        method: str = "GET",
        is_preview: bool = False,
        origin: str = "http://a.pages.localhost:8787",
    ) -> Response:
        parsed = parse_target(target.encode())
        fields = [
            (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in (headers or {}).items()
        ]
        request = AssetRequest(method, parsed.path, parsed.query, origin, "a.pages.localhost", is_preview, fields)
        return self.server.answer(request, self.manifest, self.id, self.kept)

    def key(self, path: str) -> str:
        return self.assets[path].key.hex()


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """make_site({path: content}, redirects="…", headers="…", kept={path: content}, kept_until_s=…)"""

    def make(
        files: Mapping[str, str | bytes],
        *,
        redirects: str = "",
        headers: str = "",
        kept: Mapping[str, str | bytes] | None = None,
        kept_until_s: int = KEPT_UNTIL_S,
    ) -> Site:
        store = BlobStore(tmp_path)
        assets = deploy(store, files)
        encoded = encode_manifest(
            assets,
            redirects=RedirectRules.parse(redirects)[0].encode() if redirects else b"",
            headers=HeaderRules.parse(headers)[0].encode() if headers else b"",
        )
        now_s = [float(NOW_S)]
        site = Site(
            store, AssetServer(store, lambda: now_s[0]), Manifest(encoded), manifest_id(encoded), assets, now_s=now_s
        )
        if kept is not None:
            dropped = {
                path: Asset(each.key, each.size_bytes, each.content_type, each.encodings, kept_until_s)
                for path, each in deploy(store, kept).items()
            }
            site.kept = Manifest(encode_manifest(dropped))
        return site

    return make


def deploy(store: BlobStore, files: Mapping[str, str | bytes]) -> dict[str, Asset]:
    contents = {path: content if isinstance(content, bytes) else content.encode() for path, content in files.items()}
    keys = {path: asset_key(content, extension_of(path)) for path, content in contents.items()}
    store.put_many(
        [Upload(keys[path], content, content_type_of(path)) for path, content in contents.items()], scope="1"
    )
    claim = store.claim(keys.items(), scope="1")
    assert claim.refusals == []
    return claim.assets
