"""The three asset calls, under an upload token: which bytes are missing, here they are, that was all of them.

Bytes that arrive here are stored but belong to no deployment yet; the manifest of one claims them later, or the
collector takes them.
"""

from base64 import b64decode
from typing import Final

from asset_server.blobs import Upload, UploadRefused
from control_plane.endpoints import UploadCall
from control_plane.errors import AssetRefused
from control_plane.plane import ControlPlane
from control_plane.request_bodies import HASHES_BYTES_MAX, UPLOAD_BYTES_MAX
from control_plane.upload_token import FILES_COUNT_MAX
from envelope.bodies import parse_large_json
from router.records import JsonObject, Site

UPLOADS_COUNT_MAX: Final = 5_000  # of one call; wrangler sends 2,000
SHOWN_KEY_CHARACTERS_MAX: Final = 64


async def check_missing(plane: ControlPlane, call: UploadCall) -> list[str]:
    body = await call.body(bytes_max=HASHES_BYTES_MAX)
    return await plane.heavily(lambda: plane.blobs.missing(parse_hashes(body), scope=scope_of(call.site)))


async def upload(plane: ControlPlane, call: UploadCall) -> JsonObject:
    body = await call.body(bytes_max=UPLOAD_BYTES_MAX)

    def store() -> int:
        uploads = parse_uploads(body)
        try:
            plane.blobs.put_many(uploads, scope=scope_of(call.site))
        except UploadRefused as error:
            raise AssetRefused(str(error)) from None
        return len(uploads)

    return {"successful_key_count": await plane.heavily(store), "unsuccessful_keys": []}


async def upsert_hashes(plane: ControlPlane, call: UploadCall) -> None:
    """The client's word that everything is here. It also names the deploy: see deploy_order."""
    body = await call.body(bytes_max=HASHES_BYTES_MAX)

    def refresh() -> tuple[list[str], list[str]]:
        hashes = parse_hashes(body)
        return hashes, plane.blobs.missing(hashes, scope=scope_of(call.site))

    hashes, missing = await plane.heavily(refresh)
    plane.orders.note_uploaded(call.site.site_no, hashes, order=call.grant.order)
    if missing:
        raise AssetRefused(
            f"{len(missing)} of these hashes aren't stored, the first is {missing[0][:SHOWN_KEY_CHARACTERS_MAX]!r}"
        )


def scope_of(site: Site) -> str:
    """Under which the blob store keeps what a site has uploaded and not yet claimed."""
    return site.id


def parse_hashes(body: bytes) -> list[str]:
    """Each as often as it came. Raises BodyUnreadable, AssetRefused."""
    value = parse_large_json(body)
    hashes = value.get("hashes") if isinstance(value, dict) else None
    if not isinstance(hashes, list) or not all(isinstance(each, str) for each in hashes):
        raise AssetRefused('the body must be {"hashes": ["…"]}')
    if len(hashes) > FILES_COUNT_MAX:
        raise AssetRefused(f"{len(hashes)} hashes, a deployment has at most {FILES_COUNT_MAX} files")
    return hashes


def parse_uploads(body: bytes) -> list[Upload]:
    """Raises BodyUnreadable, AssetRefused."""
    value = parse_large_json(body)
    if not isinstance(value, list) or len(value) > UPLOADS_COUNT_MAX:
        raise AssetRefused(f"the body must be a list of at most {UPLOADS_COUNT_MAX} assets")
    return [parse_upload(each) for each in value]


def parse_upload(asset: object) -> Upload:
    if not isinstance(asset, dict):
        raise AssetRefused("each asset must be an object")
    key, value, metadata = asset.get("key"), asset.get("value"), asset.get("metadata", {})
    if not isinstance(key, str) or not isinstance(value, str):
        raise AssetRefused("each asset must have a key and a value")
    content_type = metadata.get("contentType", "") if isinstance(metadata, dict) else None
    if not isinstance(content_type, str):
        raise AssetRefused(f"asset {key[:SHOWN_KEY_CHARACTERS_MAX]!r} has metadata that isn't {{contentType}}")
    return Upload(key=key, content=parse_content(key, value, is_base64=asset.get("base64")), content_type=content_type)


def parse_content(key: str, value: str, *, is_base64: object) -> bytes:
    if is_base64 is not True:
        return value.encode("utf-8")
    try:
        return b64decode(value, validate=True)
    except ValueError:
        raise AssetRefused(f"asset {key[:SHOWN_KEY_CHARACTERS_MAX]!r} has a value that isn't base64") from None
