"""The `_redirects` and `_headers` of deployments, decoded once and kept while there is room.

Bounded by the bytes of their encoded form, since one site may have thousands of rules and another none; decoded they
take 10 to 20 times as much (measured with tracemalloc).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from asset_server.header_rules import HeaderRules
from asset_server.manifest import Manifest
from asset_server.redirects import RedirectRules

ENCODED_BYTES_MAX: Final = 4 * 1024 * 1024
ENTRY_BYTES: Final = 256  # what remembering a deployment without rules costs


@dataclass(frozen=True, slots=True)
class Rules:
    """None where a deployment has none of the kind."""

    redirects: RedirectRules | None
    headers: HeaderRules | None


class RulesCache:
    """By manifest id, which names a content: an entry is never stale."""

    def __init__(self, encoded_bytes_max: int = ENCODED_BYTES_MAX) -> None:
        self._rules: OrderedDict[str, tuple[Rules, int]] = OrderedDict()
        self._encoded_bytes_max = encoded_bytes_max
        self.encoded_bytes = 0

    def __len__(self) -> int:
        return len(self._rules)

    def of(self, manifest: Manifest, manifest_id: str) -> Rules:
        known = self._rules.get(manifest_id)
        if known is not None:
            self._rules.move_to_end(manifest_id)
            return known[0]
        rules = Rules(
            RedirectRules.decode(bytes(manifest.redirects)) if manifest.redirects else None,
            HeaderRules.decode(bytes(manifest.headers)) if manifest.headers else None,
        )
        weight = ENTRY_BYTES + len(manifest.redirects) + len(manifest.headers)
        self._rules[manifest_id] = (rules, weight)
        self.encoded_bytes += weight
        while self.encoded_bytes > self._encoded_bytes_max and len(self._rules) > 1:
            _, (_, dropped) = self._rules.popitem(last=False)
            self.encoded_bytes -= dropped
        return rules
