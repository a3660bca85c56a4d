"""Custom domains. An operator's word is enough: a domain is active as soon as it is added.

Who may point a name at this machine is decided in the DNS; here it matters only that no two sites claim one name, and
that none claims a name below the pages domain, where other sites' names live.
"""

import re
from typing import Final

from control_plane.catalogue import find_domain, read_site
from control_plane.endpoints import SiteCall
from control_plane.errors import DomainTaken, UnknownDomain, ValueRefused
from control_plane.plane import ControlPlane
from envelope.answers import Page
from router.hostname import Hostname, HostRefused
from router.kv.store import Snapshot, Transaction
from router.records import CustomDomain, JsonObject, Site

DOMAINS_PER_SITE_MAX: Final = 100
TWO_LABELS: Final = re.compile(r"\.[a-z0-9-]*[a-z-][a-z0-9-]*\Z")  # the last one isn't a number


async def list_domains(plane: ControlPlane, call: SiteCall) -> Page:
    with plane.store.read() as snapshot:
        site = read_site(snapshot, call.site.site_no)
        documents = [plane.renderer.domain(own_domain(snapshot, site, name)) for name in site.domains]
    return Page(documents, page=1, per_page=max(len(documents), 1), total_count=len(documents))


async def add_domain(plane: ControlPlane, call: SiteCall) -> JsonObject:
    name = parse_domain(plane, (await call.json_object()).get("name"))

    def add(transaction: Transaction) -> JsonObject:
        site = read_site(transaction, call.site.site_no)
        if find_domain(transaction, name) is not None:
            raise DomainTaken(name)
        if len(site.domains) >= DOMAINS_PER_SITE_MAX:
            raise ValueRefused(f"a project has at most {DOMAINS_PER_SITE_MAX} custom domains")
        domain = CustomDomain(name=name, site_no=site.site_no, id=plane.clock.new_id(), created_on=plane.clock.now())
        plane.activation(transaction).add_domain(site, domain)
        return plane.renderer.domain(domain)

    return await plane.commit(add)


async def show_domain(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """Also what a check again comes to: nothing outside decides over a domain's state."""
    with plane.store.read() as snapshot:
        site = read_site(snapshot, call.site.site_no)
        return plane.renderer.domain(own_domain(snapshot, site, normal_form(call.path("domain"))))


async def remove_domain(plane: ControlPlane, call: SiteCall) -> None:
    name = normal_form(call.path("domain"))

    def remove(transaction: Transaction) -> None:
        plane.activation(transaction).remove_domain(read_site(transaction, call.site.site_no), name)

    await plane.commit(remove)


def own_domain(snapshot: Snapshot, site: Site, name: str) -> CustomDomain:
    """Raises UnknownDomain, also for another site's."""
    domain = find_domain(snapshot, name) if name in site.domains else None
    if domain is None:
        raise UnknownDomain
    return domain


def normal_form(text: str) -> str:
    """Raises UnknownDomain: what can't be a host's name is nobody's domain."""
    try:
        return Hostname.parse(text.encode("ascii")).name
    except (HostRefused, UnicodeEncodeError):
        raise UnknownDomain from None


def parse_domain(plane: ControlPlane, value: object) -> str:
    """Raises ValueRefused."""
    if not isinstance(value, str) or ":" in value:
        raise ValueRefused("name must be a host name, without scheme, port or path")
    try:
        hostname = Hostname.parse(value.encode("ascii"))
    except UnicodeEncodeError:
        raise ValueRefused("give an international name in its ASCII form, which begins with xn--") from None
    except HostRefused:
        raise ValueRefused(f"{value[:253]!r} isn't a valid host name") from None
    if TWO_LABELS.search(hostname.name) is None:
        raise ValueRefused("a custom domain has at least two labels, and isn't an IP address")
    if plane.names.is_below_pages_domain(hostname):
        raise ValueRefused("names at or below the pages domain belong to the projects of those names")
    return hostname.name
