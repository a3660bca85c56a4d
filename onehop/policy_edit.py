"""What `onehop policy set` asks for, as a change of the policy: checked against what there is, described in words."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from control_plane.catalogue import find_site, read_site
from control_plane.errors import UnknownProject
from router.data_centres import data_centres
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot
from router.policy import PERCENT_MAX, Percentage, Policy, Scheme, Split
from router.policy_record import PolicyRefused

DELETED_NAME: Final = re.compile(r"site ([0-9]{1,9}), deleted")
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class PolicyEdit:
    """The options of one `policy set`; None and False where one wasn't given."""

    site: str | None = None
    dc: str | None = None
    scheme: Scheme | None = None
    percent: float | None = None
    split: float | None = None
    cookie: bool = False
    clear: bool = False
    server_timing: bool | None = None
    shadow_percent: float | None = None

    def described(self) -> str:
        """The change in the words of the command that made it."""
        words = [
            *([f"--site {self.site}"] if self.site is not None else []),
            *([f"--dc {self.dc}"] if self.dc is not None else []),
            *([f"--scheme {self.scheme}"] if self.scheme is not None else []),
            *([f"--percent {self.percent:g}"] if self.percent is not None else []),
            *([f"--split {self.split:g}"] if self.split is not None else []),
            *(["--cookie"] if self.cookie else []),
            *(["--clear"] if self.clear else []),
            *([f"--{'' if self.server_timing else 'no-'}server-timing"] if self.server_timing is not None else []),
            *([f"--shadow {self.shadow_percent:g}"] if self.shadow_percent is not None else []),
        ]
        return " ".join(words)

    def overruled_by(self, policy: Policy) -> str | None:
        """What keeps a new default from being what sites get, and what to do about it; None when nothing does."""
        is_default = self.scheme is not None and (self.site, self.dc, self.percent, self.split) == (None,) * 4
        percentage = policy.percentage
        if not is_default or percentage is None or percentage.percent == 0 or percentage.scheme is self.scheme:
            return None
        return (
            f"--scheme sets the default, and the percentage is asked before it: {percentage.percent:g} % of sites "
            f"still get {percentage.scheme}; 'onehop policy set --percent 0 --reason …' lets the default hold for all, "
            "'onehop migrate rollout --back' takes a rollout back"
        )

    def change(self, snapshot: Snapshot) -> Callable[[Policy], Policy]:
        """Raises PolicyRefused for what contradicts itself, or names what there isn't."""
        for name, percent in (("percent", self.percent), ("split", self.split), ("shadow", self.shadow_percent)):
            if percent is not None and not 0 <= percent <= PERCENT_MAX:
                raise PolicyRefused(f"--{name} {percent:g} isn't a percentage from 0 to 100; nothing was changed")
        if self.site is not None and self.dc is not None:
            raise PolicyRefused("--site and --dc are two rules; set one after the other")
        if self.percent is not None and (self.site is not None or self.dc is not None):
            raise PolicyRefused("--percent is of all sites; for the clients of one, give --site and --split")
        if (self.split is not None or self.cookie) and self.site is None:
            raise PolicyRefused("--split and --cookie are a site's; name it with --site")
        if self.cookie and self.split is None:
            raise PolicyRefused("--cookie belongs to a --split")
        if self.clear and (self.scheme is not None or self.split is not None or self.percent is not None):
            raise PolicyRefused("--clear takes a rule away; set another without it")
        if self.clear and self.site is None and self.dc is None:
            raise PolicyRefused("--clear takes a site's rules or a data centre's away; name it with --site or --dc")
        if not self.described().replace(f"--site {self.site}", "").replace(f"--dc {self.dc}", "").strip():
            raise PolicyRefused(
                "nothing to set: give a --scheme, --percent, --split (with --cookie), --clear, --shadow, "
                "--server-timing or --file"
            )
        if self.shadow_percent is not None and (self.site is not None or self.dc is not None):
            raise PolicyRefused("--shadow is of all requests; leave --site and --dc out")
        if self.dc is not None:
            return self._of_dc(snapshot, self.dc)
        if self.site is None:
            return self._of_all
        gone = deleted_site_number(snapshot, self.site) if self.clear else None
        return self._of_site(gone if gone is not None else site_number(snapshot, self.site))

    def _of_dc(self, snapshot: Snapshot, dc: str) -> Callable[[Policy], Policy]:
        known = data_centres(snapshot)
        if dc not in known:
            raise PolicyRefused(f"no edge was ever started with --dc {dc}; known are {', '.join(known) or 'none'}")
        if self.server_timing is not None:
            raise PolicyRefused("--server-timing is a site's, or everyone's; leave --dc out")
        return lambda policy: replace(policy, data_centres=with_member(policy.data_centres, dc, self.scheme))

    def _of_site(self, site_no: int) -> Callable[[Policy], Policy]:
        def change(policy: Policy) -> Policy:
            if self.clear:
                policy = replace(
                    policy,
                    pins=with_member(policy.pins, site_no, None),
                    splits=with_member(policy.splits, site_no, None),
                )
            elif self.split is not None:
                split = Split(self.split, self.scheme or Scheme.LEGACY, self.cookie)
                policy = replace(
                    policy,
                    pins=with_member(policy.pins, site_no, None),
                    splits=with_member(policy.splits, site_no, split),
                )
            elif self.scheme is not None:
                policy = replace(policy, pins=with_member(policy.pins, site_no, self.scheme))
            if self.server_timing is not None:
                told = policy.server_timing - {site_no}
                policy = replace(policy, server_timing=told | {site_no} if self.server_timing else told)
            return policy

        if self.split is not None and self.scheme is Scheme.HASHED:
            raise PolicyRefused("a split's share is the hashed arm; --scheme names the other, a legacy one")
        return change

    def _of_all(self, policy: Policy) -> Policy:
        if self.percent is not None:
            policy = replace(policy, percentage=Percentage(self.percent, self.scheme or Scheme.HASHED))
        elif self.scheme is not None:
            policy = replace(policy, default=self.scheme)
        if self.server_timing is not None:
            policy = replace(policy, server_timing_everywhere=self.server_timing)
        if self.shadow_percent is not None:
            policy = replace(policy, shadow_percent=self.shadow_percent)
        return policy


def with_member(members: Mapping[Key, Value], key: Key, value: Value | None) -> dict[Key, Value]:
    """A copy with that member; None takes it out."""
    rest = {each: member for each, member in members.items() if each != key}
    return rest if value is None else {**rest, key: value}


def site_number(snapshot: Snapshot, name: str) -> int:
    """Raises PolicyRefused."""
    site = find_site(snapshot, name)
    if site is None:
        raise PolicyRefused(f"there is no site {name}; 'onehop site list' names them all")
    return site.site_no


def site_name(snapshot: Snapshot, site_no: int) -> str:
    try:
        return read_site(snapshot, site_no).name
    except UnknownProject:
        return f"site {site_no}, deleted"


def is_deleted(snapshot: Snapshot, site_no: int) -> bool:
    return snapshot.view(Database.SITES, SITE_NO.pack(site_no)) is None


def deleted_site_number(snapshot: Snapshot, name: str) -> int | None:
    """Of a site that is gone, by what `site_name` calls it; None for every other name."""
    match = DELETED_NAME.fullmatch(name)
    site_no = int(match[1]) if match is not None else None
    return site_no if site_no is not None and is_deleted(snapshot, site_no) else None
