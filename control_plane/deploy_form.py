"""The form that a deploy posts, to one checked value. Pure.

Parts come in any order; those that nobody here knows are passed over. What is refused here costs nothing: no blob has
been claimed yet.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from asset_server.manifest import validate_manifest_path
from control_plane.errors import BodyUnreadable, FunctionRefused, ManifestMissing, ManifestRefused, ValueRefused
from control_plane.upload_token import FILES_COUNT_MAX
from envelope.bodies import parse_json
from router.records import JsonObject

HASH: Final = re.compile(r"[0-9a-f]{32}")
CONTROL_FILES: Final = frozenset({"/_headers", "/_redirects", "/_routes.json", "/_worker.js", "/_worker.bundle"})
"""At the root these names steer the deployment; as assets they would be served. Below it they are ordinary files."""
SERVER_SECRETS: Final = ("/secrets/route-keys.json", "/secrets/admin-token", "/secrets/token-pepper")
"""Published, they would give the server away; a client that isn't ours uploads them with the rest of a folder."""
CONTROL_FOLDER: Final = "/_worker.js/"
BRANCH_CHARACTERS_MAX: Final = 255
COMMIT_HASH_CHARACTERS_MAX: Final = 128
COMMIT_MESSAGE_CHARACTERS_MAX: Final = 2_048
RULES_BYTES_MAX: Final = 1024 * 1024
ROUTES_BYTES_MAX: Final = 64 * 1024
WORKER_BYTES_MAX: Final = 25 * 1024 * 1024
DETAIL_CHARACTERS_MAX: Final = 1_024
DETAIL_PARTS: Final = ("wrangler_config_hash", "pages_build_output_dir")
ORDER_MAX: Final = 2**53
SHOWN_PATH_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class DeployForm:
    """`branch` None: production. `worker` is a `_worker.bundle`. `order` is the upload token's, where the client says
    it; `is_forced` moves the host also when a newer deploy is live."""

    manifest: Mapping[str, str]
    branch: str | None = None
    commit_hash: str = ""
    commit_message: str = ""
    commit_dirty: bool = False
    headers: str | None = None
    redirects: str | None = None
    worker: bytes | None = field(default=None, repr=False)
    routes: str | None = None
    order: int | None = None
    is_forced: bool = False
    details: JsonObject = field(default_factory=dict)

    @classmethod
    def parse(cls, parts: Mapping[str, bytes]) -> Self:
        """Raises ManifestMissing, ManifestRefused, FunctionRefused, ValueRefused, BodyUnreadable."""
        return cls(
            manifest=parse_manifest(parts),
            branch=text_of(parts, "branch", characters_max=BRANCH_CHARACTERS_MAX) or None,
            commit_hash=text_of(parts, "commit_hash", characters_max=COMMIT_HASH_CHARACTERS_MAX),
            # The CLI cuts at 384 bytes, which may leave half a character at the end.
            commit_message=parts.get("commit_message", b"").decode("utf-8", "replace")[:COMMIT_MESSAGE_CHARACTERS_MAX],
            commit_dirty=parts.get("commit_dirty") == b"true",
            headers=file_of(parts, "_headers", bytes_max=RULES_BYTES_MAX),
            redirects=file_of(parts, "_redirects", bytes_max=RULES_BYTES_MAX),
            worker=parse_worker(parts),
            routes=file_of(parts, "_routes.json", bytes_max=ROUTES_BYTES_MAX),
            order=parse_order(parts),
            is_forced=parts.get("onehop_force") == b"true",
            details={
                name: text
                for name in DETAIL_PARTS
                if (text := text_of(parts, name, characters_max=DETAIL_CHARACTERS_MAX))
            },
        )


def parse_manifest(parts: Mapping[str, bytes]) -> dict[str, str]:
    if "manifest" not in parts:
        raise ManifestMissing
    try:
        manifest = parse_json(parts["manifest"])
    except BodyUnreadable as error:
        raise ManifestRefused(f"the manifest can't be read: {error.message}") from None
    if not isinstance(manifest, dict):
        raise ManifestRefused("the manifest must be a JSON object of path to hash")
    if len(manifest) > FILES_COUNT_MAX:
        raise ManifestRefused(f"the manifest has {len(manifest)} files, the limit is {FILES_COUNT_MAX}")
    for path, key in manifest.items():
        problem = validate_manifest_path(path)
        if problem is None and (path in CONTROL_FILES or path.startswith(CONTROL_FOLDER)):
            problem = "steers the deployment and is never served: send it as a part of the form, not as an asset"
        if problem is None and not (isinstance(key, str) and HASH.fullmatch(key)):
            problem = "must have a hash of 32 lower-case hex digits"
        if problem is not None:
            raise ManifestRefused(f"the manifest's path {path[:SHOWN_PATH_CHARACTERS_MAX]!r} {problem}")
        if path.endswith(SERVER_SECRETS):
            raise ManifestRefused(
                f"the manifest's path {path[:SHOWN_PATH_CHARACTERS_MAX]!r} is a secret of an Onehop server, whose data "
                "folder lies in the site's; keep it elsewhere, deploy again, and rotate what was sent"
            )
    return manifest


def parse_worker(parts: Mapping[str, bytes]) -> bytes | None:
    bundle, module = parts.get("_worker.bundle"), parts.get("_worker.js")
    if bundle is not None and module is not None:
        raise FunctionRefused("the form has both _worker.bundle and _worker.js; send one of them")
    worker = bundle if bundle is not None else bundle_of(module) if module is not None else None
    if worker is not None and len(worker) > WORKER_BYTES_MAX:
        raise FunctionRefused(f"the worker has {len(worker)} bytes, the limit is {WORKER_BYTES_MAX}")
    return worker


def bundle_of(module: bytes) -> bytes:
    """A single module as the bundle that wrangler would have made of it."""
    boundary = b"----onehop-single-module"
    while boundary in module:
        boundary += b"-"
    return b"\r\n".join(
        (
            b"--" + boundary,
            b'Content-Disposition: form-data; name="metadata"',
            b"",
            b'{"main_module":"_worker.js"}',
            b"--" + boundary,
            b'Content-Disposition: form-data; name="_worker.js"; filename="_worker.js"',
            b"Content-Type: application/javascript+module",
            b"",
            module,
            b"--" + boundary + b"--",
            b"",
        )
    )


def parse_order(parts: Mapping[str, bytes]) -> int | None:
    text = parts.get("onehop_order")
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 17 and 0 < int(text) <= ORDER_MAX):
        raise ValueRefused("onehop_order must be the order that the upload token holds")
    return int(text)


def text_of(parts: Mapping[str, bytes], name: str, *, characters_max: int) -> str:
    """The part as text, empty when absent. Raises ValueRefused when it isn't UTF-8 or too long."""
    try:
        text = parts.get(name, b"").decode("utf-8")
    except UnicodeDecodeError:
        raise ValueRefused(f"{name} isn't UTF-8 text") from None
    if len(text) > characters_max:
        raise ValueRefused(f"{name} has {len(text)} characters, the limit is {characters_max}")
    return text


def file_of(parts: Mapping[str, bytes], name: str, *, bytes_max: int) -> str | None:
    content = parts.get(name)
    if content is None:
        return None
    if len(content) > bytes_max:
        raise ValueRefused(f"{name} has {len(content)} bytes, the limit is {bytes_max}")
    return content.decode("utf-8", "replace")
