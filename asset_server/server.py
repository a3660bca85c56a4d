"""From a request that reached a deployment's assets to the finished answer, in the order of pages-serving 0.

    _redirects → method → one decoding → lookup → kept assets → 404.html → single-page app → bare 404

What each step decides becomes a `Draft`; `_finish` adds the default headers, lets the site's `_headers` at them, and
then sets what nobody may change. An answer depends on the method, URL, pipeline and FIELDS_READ alone: Accept-Encoding
(named in Vary where it matters), the conditionals, Range, and whether Authorization is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from blake3 import blake3

from asset_server.blobs import BlobStore
from asset_server.conditional import is_range_current, is_unmodified
from asset_server.content_type import extension_of
from asset_server.header_rules import HeaderRules
from asset_server.lookup import Find, HtmlRedirect, NotFound, Serve, html_location, look_up, look_up_missing
from asset_server.manifest import Asset, Encodings, Manifest
from asset_server.message import AssetRequest, HeaderFields, Response
from asset_server.negotiation import choose_encoding
from asset_server.ranges import ByteRange, Unsatisfiable, choose_ranges, render_multipart
from asset_server.redirects import redirect_location
from asset_server.rules_cache import Rules, RulesCache
from asset_server.url import decode_path, parse_target

CACHING: Final = b"cache-control"
CACHE_CONTROL: Final = (CACHING, b"public, max-age=0, must-revalidate")
CACHE_CONTROL_ENCODED: Final = (CACHING, b"no-transform, public, max-age=0, must-revalidate")
CACHE_CONTROL_KEPT: Final = (CACHING, b"public, s-maxage=604800")
NO_STORE: Final = (CACHING, b"no-store")
NO_INDEX: Final = (b"x-robots-tag", b"noindex")
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
DEFAULTS: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
)
ALLOW: Final = (b"allow", b"GET, HEAD")
ACCEPT_RANGES: Final = (b"accept-ranges", b"bytes")
VARY: Final = b"vary"
VARIED: Final = b"accept-encoding"
REDIRECT_BODY_TYPE: Final = b"text/plain;charset=UTF-8"
CODING: Final = {Encodings.BR: b"br", Encodings.GZIP: b"gzip", Encodings.ZSTD: b"zstd"}
HTML_TYPES: Final = ("text/html", "application/xhtml+xml")
FIELDS_READ: Final = frozenset({b"accept-encoding", b"if-none-match", b"range", b"if-range", b"authorization"})
"""What of a request's fields an answer may depend on."""
UNREPRESENTABLE: Final = frozenset("\0\r\n")
"""Decoded, no file has them in its name, and none may come near a Location."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer before the rules: `headers` are the site's to change, `fixed` are not. `varies` where another
    Accept-Encoding would have got other bytes. `stands_in` for the front page under the name of a missing file.
    `lasts` unless time alone makes another answer of it. `validator` as in Response."""

    status: int
    headers: HeaderFields
    body: bytes | memoryview = b""
    fixed: HeaderFields | tuple[()] = ()
    varies: bool = False
    stands_in: bool = False
    lasts: bool = True
    validator: bytes = b""
    names_host: bool = False


class AssetServer:
    """Answers for every deployment of one data folder. Raises BlobDamaged and ManifestCorrupt, for the caller's 500."""

    def __init__(self, blobs: BlobStore, now_s: Callable[[], float]) -> None:
        self._blobs = blobs
        self._now_s = now_s
        self._rules = RulesCache()

    def answer(self, request: AssetRequest, manifest: Manifest, manifest_id: str, kept: Manifest | None) -> Response:
        """`kept` lists the assets of replaced deployments that a changing host still answers for (differences 16)."""
        rules = self._rules.of(manifest, manifest_id)
        draft = self._draft(request, manifest, kept, rules, allow_encoded=True)
        headers = _apply(rules.headers, request, draft)
        if any(name == b"content-encoding" for name, _ in headers) and draft.varies:
            # The site says itself how its bytes are encoded, so they go out as they are.
            draft = self._draft(request, manifest, kept, rules, allow_encoded=False)
            headers = _apply(rules.headers, request, draft)
        is_for_any_host = not draft.names_host and (rules.headers is None or not rules.headers.names_hosts)
        return replace(_finish(request, draft, headers), is_for_any_host=is_for_any_host)

    def _draft(
        self, request: AssetRequest, manifest: Manifest, kept: Manifest | None, rules: Rules, *, allow_encoded: bool
    ) -> Draft:
        path = request.path
        match = rules.redirects.match(path) if rules.redirects is not None else None
        if match is not None:
            if match.status != 200:
                location = redirect_location(match, origin=request.origin, query=request.query)
                return _redirect(match.status, location)
            path = _rewritten(match.destination)
        if request.method not in ("GET", "HEAD"):
            return Draft(405, [], fixed=[ALLOW])
        decoded = decode_path(path)
        if not UNREPRESENTABLE.isdisjoint(decoded):
            return Draft(400, [NO_STORE])
        found: Serve | HtmlRedirect | NotFound | None = look_up(decoded, manifest.find)
        if found is None and kept is not None and (asset := self._kept_asset(decoded, kept.find)) is not None:
            draft = self._serve(request, asset, is_kept=True, allow_encoded=allow_encoded)
            return replace(draft, lasts=False)
        stands_in = found is None and _names_file(decoded)
        if found is None:
            found = look_up_missing(decoded, manifest.find, not_found_depth=manifest.not_found_depth)
        match found:
            case Serve(asset):
                draft = self._serve(request, asset, is_kept=False, allow_encoded=allow_encoded)
                return replace(draft, stands_in=True) if stands_in else draft
            case HtmlRedirect(target):
                return Draft(308, [(b"location", html_location(target, request.query).encode("ascii"))])
            case NotFound(page):
                return self._not_found(request, page, allow_encoded=allow_encoded)

    def _kept_asset(self, path: str, find: Find) -> Asset | None:
        """Never html: a page that was deleted is gone."""
        asset = find(path)
        if asset is None or asset.content_type.startswith(HTML_TYPES) or asset.expires_s <= self._now_s():
            return None
        return asset

    def _not_found(self, request: AssetRequest, page: Asset | None, *, allow_encoded: bool) -> Draft:
        if page is None:
            return Draft(404, [])
        # Who refuses every form we have is told so with identity bytes: an error page may ignore Accept-Encoding.
        encoding = self._negotiate(request, page, allow_encoded=allow_encoded) or Encodings.NONE
        body = self._blobs.open(page, encoding).body
        headers = [(b"content-type", page.content_type.encode("ascii")), NO_SNIFF]
        return Draft(404, headers, body, fixed=_content_encoding(encoding), varies=bool(page.encodings))

    def _negotiate(self, request: AssetRequest, asset: Asset, *, allow_encoded: bool) -> Encodings | None:
        available = asset.encodings if allow_encoded else Encodings.NONE
        return choose_encoding(request.field_lines(b"accept-encoding"), available)

    def _serve(self, request: AssetRequest, asset: Asset, *, is_kept: bool, allow_encoded: bool) -> Draft:
        """200, or what the conditionals and Range make of it, of the representation that was negotiated."""
        range_lines = request.field_lines(b"range") if request.method == "GET" else []
        encoding = self._negotiate(request, asset, allow_encoded=allow_encoded)
        if range_lines and self._negotiate(request, asset, allow_encoded=False) is Encodings.NONE:
            # Ranges are of the identity bytes: a part of a compressed form is of no use to who asks for parts.
            encoding = Encodings.NONE
        varies = bool(asset.encodings)
        if encoding is None:
            return Draft(406, [], varies=varies)
        etag = _etag(asset, encoding)
        validators = [(b"etag", etag), *_caching(request, encoding, is_kept=is_kept)]
        if is_unmodified(request.field_lines(b"if-none-match"), etag):
            return Draft(304, validators, varies=varies)
        blob = self._blobs.open(asset, encoding)
        body = blob.body
        headers = [(b"content-type", asset.content_type.encode("ascii")), NO_SNIFF, *validators]
        if blob.links:  # only html has them, and kept assets are never html
            headers.append((b"link", blob.links.encode("ascii")))
        if encoding is not Encodings.NONE:
            return Draft(200, headers, body, fixed=_content_encoding(encoding), varies=varies, validator=etag)
        if is_range_current(request.field_lines(b"if-range"), etag):
            match choose_ranges(range_lines, asset.size_bytes):
                case None:
                    pass
                case Unsatisfiable():
                    return Draft(416, [], fixed=[(b"content-range", b"bytes */%d" % asset.size_bytes)], varies=varies)
                case parts:
                    return _partial(headers, body, parts, key=asset.key, varies=varies)
        return Draft(200, headers, body, fixed=[ACCEPT_RANGES], varies=varies, validator=etag)


def _etag(asset: Asset, encoding: Encodings) -> bytes:
    """Strong, so each representation has its own (RFC 9110 8.8.3); identity's is the asset key, as on Pages."""
    suffix = b"-" + CODING[encoding] if encoding else b""
    return b'"%s%s"' % (asset.key.hex().encode("ascii"), suffix)


def _caching(request: AssetRequest, encoding: Encodings, *, is_kept: bool) -> HeaderFields:
    if is_kept:
        return [CACHE_CONTROL_KEPT, NO_INDEX]
    if request.field_lines(b"authorization") or request.field_lines(b"range"):
        return [(CACHING, b"no-transform")] if encoding else []
    return [CACHE_CONTROL_ENCODED if encoding else CACHE_CONTROL]


def _content_encoding(encoding: Encodings) -> HeaderFields:
    return [(b"content-encoding", CODING[encoding])] if encoding else []


def _partial(
    headers: HeaderFields, body: bytes | memoryview, parts: Sequence[ByteRange], *, key: bytes, varies: bool
) -> Draft:
    if len(parts) == 1:
        part = parts[0]
        fixed = [ACCEPT_RANGES, (b"content-range", part.content_range(len(body)))]
        return Draft(206, headers, body[part.first : part.end], fixed=fixed, varies=varies)
    # What follows from a hash of the bytes can't be written into them beforehand. The asset's key is one; to hash the
    # body here would cost its length for two bytes of it. The same request gets the same boundary.
    boundary = blake3(b"boundary" + key).hexdigest(length=16).encode("ascii")
    content_type = dict(headers)[b"content-type"]
    multipart = render_multipart(body, parts, content_type=content_type, boundary=boundary)
    fixed = [ACCEPT_RANGES, (b"content-type", b"multipart/byteranges; boundary=" + boundary)]
    return Draft(206, headers, multipart, fixed=fixed, varies=varies)


def _redirect(status: int, location: str) -> Draft:
    headers = [(b"location", location.encode("ascii"))]
    if status == 308:
        return Draft(308, headers, names_host=True)
    body = f"Redirecting to {location}".encode("ascii")
    return Draft(status, [*headers, (b"content-type", REDIRECT_BODY_TYPE), NO_SNIFF], body, names_host=True)


def _rewritten(destination: str) -> str:
    """The path of a 200 rule's destination; leading slashes collapse, as in a Location (differences 8b)."""
    target = parse_target(("/" + destination.partition("#")[0].lstrip("/")).encode("utf-8"))
    return target.path


def _apply(rules: HeaderRules | None, request: AssetRequest, draft: Draft) -> HeaderFields:
    headers = [*DEFAULTS, *draft.headers]
    if request.is_preview and NO_INDEX not in headers:
        headers.append(NO_INDEX)
    if draft.varies:
        headers.append((VARY, b"Accept-Encoding"))
    return headers if rules is None else rules.apply(headers, hostname=request.hostname, path=request.path)


def _finish(request: AssetRequest, draft: Draft, headers: HeaderFields) -> Response:
    fixed = [*draft.fixed]
    replaced = {name for name, _ in fixed}
    if draft.status == 404:
        fixed.append(NO_STORE)
        replaced.add(CACHING)
    elif draft.stands_in and _is_for_files(headers):
        fixed += [field for field in draft.headers if field[0] == CACHING]
        replaced.add(CACHING)
    headers = [field for field in headers if field[0] not in replaced]
    headers += fixed
    if draft.varies and not _names_varied(headers):
        headers.append((VARY, b"Accept-Encoding"))  # a rule may add to Vary; without this caches would mix the forms
    if draft.status != 304:
        headers.append((b"content-length", b"%d" % len(draft.body)))
    body = b"" if request.method == "HEAD" else draft.body
    return Response(draft.status, headers, body, lasts=draft.lasts, validator=draft.validator)


def _is_for_files(headers: HeaderFields) -> bool:
    """Whether a rule's Cache-Control means the file that is missing and not the page that stands in for it: kept for
    ever under the name of a script, that page would break the site long after the next deploy."""
    return any(name == CACHING and b"immutable" in value.lower() for name, value in headers)


def _names_file(path: str) -> bool:
    """A route of a single-page app has no extension, and what it is answered with is no other file's."""
    return extension_of(path) not in ("", "html", "htm")


def _names_varied(headers: HeaderFields) -> bool:
    members = b",".join(value for name, value in headers if name == VARY).lower().split(b",")
    return any(member.strip(b" \t") in (VARIED, b"*") for member in members)
