"""Secret variables at rest: sealed with AES-256-GCM under a key that is not in the store.

A sealed value is bound to its site and name, so that whoever can write records cannot move one site's secret into
another's environment. The API never opens one: opening is for whatever runs the functions.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12
SEALED_PREFIX: Final = "sealed:1:"


class SealBroken(Exception):
    """A sealed value wasn't sealed with this key for this site and name."""


@dataclass(frozen=True, slots=True)
class VariableSeal:
    """Seals and opens the values of secret variables."""

    key: bytes = field(repr=False)

    def seal(self, value: str, *, site_no: int, name: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self.key).encrypt(nonce, value.encode("utf-8"), binding(site_no, name))
        return SEALED_PREFIX + urlsafe_b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, *, site_no: int, name: str) -> str:
        """Raises SealBroken."""
        try:
            raw = urlsafe_b64decode(sealed.removeprefix(SEALED_PREFIX))
            value = AESGCM(self.key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], binding(site_no, name))
        except (InvalidTag, ValueError):
            raise SealBroken(f"variable {name}: sealed with another key, or for another site") from None
        return value.decode("utf-8")


def binding(site_no: int, name: str) -> bytes:
    return f"{site_no}/{name}".encode()
