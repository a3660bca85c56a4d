"""Which KV namespaces a token reaches: all of them, or those that are bound to its site.

A namespace is bound to a site by a deploy or a setting that a token for the whole account made. A site's own token
can't widen that: what it deploys or sets may only name what its site has already.
"""

from collections.abc import Iterable, Iterator

from control_plane.catalogue import read_site
from control_plane.errors import Forbidden
from control_plane.plane import ControlPlane
from control_plane.tokens import TokenRecord
from router.records import JsonObject


def reachable(plane: ControlPlane, caller: TokenRecord) -> frozenset[str] | None:
    """Ids of namespaces; None: all. Blocks."""
    if caller.site_no is None:
        return None
    with plane.store.read() as snapshot:
        site = read_site(snapshot, caller.site_no)
    return plane.key_values.bound_to(caller.site_no) | frozenset(named_in(site.deployment_configs))


def refuse_unreachable(plane: ControlPlane, caller: TokenRecord, namespaces: Iterable[str]) -> None:
    """Raises Forbidden. Blocks."""
    known = reachable(plane, caller)
    strange = [] if known is None else sorted(set(namespaces) - known)
    if strange:
        raise Forbidden(
            f"the KV namespace {strange[0][:64]!r} isn't bound to this site, and a site's token can't bind it: "
            "deploy once with a token for the whole account, or set it in the project with one"
        )


def named_in(deployment_configs: JsonObject) -> Iterator[str]:
    """The ids of the namespaces in a project's settings, whatever else is in there."""
    for config in deployment_configs.values():
        namespaces = config.get("kv_namespaces") if isinstance(config, dict) else None
        for each in namespaces.values() if isinstance(namespaces, dict) else ():
            if isinstance(each, dict) and isinstance(each.get("namespace_id"), str):
                yield each["namespace_id"]
