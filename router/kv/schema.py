"""Names and keys of the store's databases: the contract of what lies on disk.

Integers in keys are big-endian, so that LMDB's byte order is their order. Values are JSON (orjson) unless a line
below says otherwise. A change to any of this raises SCHEMA_VERSION, and an older store is then refused or converted.
"""

import struct
from enum import StrEnum
from typing import Final

SCHEMA_VERSION: Final = 1

ROUTE_KEY_BYTES: Final = 16
SITE_NO: Final = struct.Struct(">I")
DEPLOYMENT_KEY: Final = struct.Struct(">II")  # site_no, seq: one site's deployments lie together, oldest first
FEED_SEQ: Final = struct.Struct(">Q")


class Database(StrEnum):
    """Every named database of the environment."""

    ROUTES = "routes"  # route key (16) -> Pipeline.encode
    SITES = "sites"  # site_no (4) -> records.Site
    SITE_NAMES = "site_names"  # name, ASCII -> site_no (4)
    DOMAINS = "domains"  # custom hostname, ASCII -> records.CustomDomain
    DEPLOYMENTS = "deployments"  # site_no ‖ seq (8) -> records.Deployment
    DEPLOYMENT_IDS = "deployment_ids"  # deployment id (16 raw bytes) -> site_no ‖ seq (8)
    ALIASES = "aliases"  # site_no (4) ‖ branch slug, ASCII -> records.Alias
    LEGACY_TABLES = "legacy_tables"  # site_no (4) -> the routing table, byte for byte
    PIPELINES = "pipelines"  # script_hash, ASCII -> Pipeline.encode, for the legacy scheme
    MANIFESTS = "manifests"  # content id, 22 ASCII -> asset_server.manifest, binary
    POLICY = "policy"  # the routing policy
    TOKENS = "tokens"  # token id, ASCII -> control_plane.tokens.TokenRecord
    FEED = "feed"  # seq (8) -> kv.feed.Change
    META = "meta"  # name, ASCII -> schema version, key check values, store id, pages domain, counters


def deployment_key(site_no: int, seq: int) -> bytes:
    return DEPLOYMENT_KEY.pack(site_no, seq)


def alias_key(site_no: int, slug: str) -> bytes:
    return SITE_NO.pack(site_no) + slug.encode("ascii")
