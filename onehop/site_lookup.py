"""Sites by number and by name, for commands that work on the data folder itself."""

from collections.abc import Container

from onehop.policy_edit import site_number
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot

__all__ = ["site_names_of", "site_number"]


def site_names_of(snapshot: Snapshot, numbers: Container[int] | None = None) -> dict[int, str]:
    """Names by number, of these or of all sites."""
    found = ((SITE_NO.unpack(number)[0], name) for name, number in snapshot.scan(Database.SITE_NAMES))
    return {number: name.decode("ascii") for number, name in found if numbers is None or number in numbers}
