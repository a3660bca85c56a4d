"""The hostnames that a site has below the pages domain, and the way back from a hostname to its site. Pure."""

from dataclasses import dataclass

from router.hostname import Hostname


@dataclass(frozen=True, slots=True)
class SiteNames:
    """`pages_domain` is in normal form, e.g. "pages.localhost"."""

    pages_domain: str

    def production(self, site: str) -> Hostname:
        return Hostname(f"{site}.{self.pages_domain}")

    def deployment(self, site: str, short_id: str) -> Hostname:
        return Hostname(f"{short_id}.{site}.{self.pages_domain}")

    def alias(self, site: str, slug: str) -> Hostname:
        return Hostname(f"{slug}.{site}.{self.pages_domain}")

    def is_below_pages_domain(self, hostname: Hostname) -> bool:
        return hostname.name == self.pages_domain or hostname.name.endswith("." + self.pages_domain)

    def split(self, hostname: Hostname) -> tuple[str, str | None] | None:
        """(site name, first label or None) of a host directly below the pages domain or one further; else None."""
        if not hostname.name.endswith("." + self.pages_domain):
            return None
        labels = hostname.name[: -len(self.pages_domain) - 1].split(".")
        match labels:
            case [site]:
                return site, None
            case [label, site]:
                return site, label
            case _:
                return None
