"""Which deploy began first: the order that an upload token was issued with, found again at the deployment's post.

A client asks for an upload token when its deploy begins, names every asset's hash when the uploads are done, and then
posts the manifest, without saying which token it had. The set of hashes is what links the two: it is remembered here
with the token's order. Nothing is lost when this memory is: the post then takes the site's next order, as if the
deploy had begun just then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from lru import LRU

REMEMBERED_MAX: Final = 4_096  # deploys between their upload and their post, over all sites


@dataclass(frozen=True, slots=True)
class BegunDeploys:
    """Deploys with the same hashes can't be told apart. All of them then count as the latest that began: what they
    show is the same assets, and the newest must never lose against its own twin."""

    order: int
    posts_expected: int


class DeployOrders:
    """Remembers (site, set of asset hashes) → order, for as many deploys as may be under way."""

    def __init__(self) -> None:
        self._begun: LRU[tuple[int, bytes], BegunDeploys] = LRU(REMEMBERED_MAX)

    def note_uploaded(self, site_no: int, hashes: Iterable[str], *, order: int) -> None:
        key = (site_no, digest_of(hashes))
        known = self._begun.get(key)
        if known is None:
            self._begun[key] = BegunDeploys(order, posts_expected=1)
        elif order > known.order:  # a repeated call of the same deploy has the same order
            self._begun[key] = BegunDeploys(order, posts_expected=known.posts_expected + 1)

    def take(self, site_no: int, hashes: Iterable[str]) -> int | None:
        """The order of the deploy that posts these hashes; None when no upload announced them."""
        key = (site_no, digest_of(hashes))
        known = self._begun.get(key)
        if known is None:
            return None
        if known.posts_expected > 1:
            self._begun[key] = BegunDeploys(known.order, posts_expected=known.posts_expected - 1)
        else:
            del self._begun[key]
        return known.order


def digest_of(hashes: Iterable[str]) -> bytes:
    return sha256("\n".join(sorted(set(hashes))).encode("utf-8", "surrogatepass")).digest()
