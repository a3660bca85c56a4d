"""The whole policy as a file, with sites by name: `policy show --json` prints it, `policy set --file` takes it.

A file replaces the policy, so it is read strictly: what isn't as it would be printed is refused, never passed over. It
is read before the store is written to, since what it comes from may keep us waiting.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from onehop.policy_edit import deleted_site_number, site_name, site_number
from router.data_centres import data_centres
from router.hostname import NAME_BYTES_MAX
from router.kv.store import Snapshot
from router.policy import Policy, Scheme
from router.policy_record import PolicyRefused, PolicyUnreadable, decode_policy, encode_policy

FILE_BYTES_MAX = 4 * 1024 * 1024
REASON_CHARACTERS_MAX: Final = 300
KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "generation": (int,),
    "default": (str,),
    "pins": (dict,),
    "splits": (dict,),
    "data_centres": (dict,),
    "percentage": (dict, type(None)),
    "shadow_percent": (int, float),
    "server_timing": (list,),
    "server_timing_everywhere": (bool,),
}
KINDS_OF_SPLIT: Final[Mapping[str, tuple[type, ...]]] = {
    "hashed_percent": (int, float),
    "other": (str,),
    "cookie": (bool,),
}
KINDS_OF_PERCENTAGE: Final[Mapping[str, tuple[type, ...]]] = {"percent": (int, float), "scheme": (str,)}
KIND_NAMES: Final = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


class Loose(ValueError):
    """Something in a file isn't as a policy is printed."""


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What a file holds, its shape seen to; sites are still names."""

    path: Path
    members: dict[str, Any]


def named_policy(snapshot: Snapshot, policy: Policy) -> dict[str, Any]:
    members = encode_policy(policy)
    for name in ("pins", "splits"):
        members[name] = {site_name(snapshot, int(site_no)): each for site_no, each in members[name].items()}
    members["server_timing"] = [site_name(snapshot, site_no) for site_no in members["server_timing"]]
    del members["salt"]
    return members


def read_policy_file(path: Path) -> PolicyFile:
    """Raises PolicyRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise Loose(f"it has more than {FILE_BYTES_MAX} bytes")
        orjson.loads(data)  # stricter than `json` on numbers and texts; which sees members that are there twice
        members = json.loads(data, object_pairs_hook=members_once)
        if not isinstance(members, dict):
            raise Loose("it must be one JSON object, as 'onehop policy show --json' prints")
        refuse_loose("", members, KINDS)
        for site, split in members.get("splits", {}).items():
            refuse_loose(f"the split of {site}: ", split, KINDS_OF_SPLIT, needed="hashed_percent")
            if split.get("other") == Scheme.HASHED:
                raise Loose(f"the split of {site}: its share is the hashed arm; the other must be a legacy one")
        if members.get("percentage") is not None:
            refuse_loose("percentage: ", members["percentage"], KINDS_OF_PERCENTAGE, needed="percent")
        schemes = [*members.get("pins", {}).items(), *members.get("data_centres", {}).items()]
        for name, scheme in schemes:
            if not isinstance(scheme, str):
                raise Loose(f"the scheme of {name} must be a text")
        if not all(isinstance(site, str) for site in members.get("server_timing", [])):
            raise Loose("server_timing must be a list of sites' names")
    except OSError as error:
        raise PolicyRefused(f"{path}: {error.strerror}; nothing was changed") from None
    except RecursionError:
        raise PolicyRefused(f"{path} isn't a policy: it is nested too deep; nothing was changed") from None
    except orjson.JSONDecodeError as error:
        raise PolicyRefused(f"{path} isn't a policy: {error}; 'onehop policy show --json' prints one") from None
    except ValueError as error:  # Loose, or a number that `json` won't read
        raise refused(path, error) from None
    return PolicyFile(path, members)


def policy_from_file(snapshot: Snapshot, file: PolicyFile) -> Callable[[Policy], Policy]:
    """The change that puts it in force; the salt stays. A file that was printed from an older generation is refused: it
    would take back, without a word, what somebody has set since. Rules of deleted sites are left out. Raises
    PolicyRefused."""
    members = dict(file.members)
    try:
        for name in ("pins", "splits"):
            numbered = site_numbers(snapshot, members.get(name, {}))
            members[name] = {str(site_no): members[name][site] for site, site_no in numbered.items()}
        members["server_timing"] = list(site_numbers(snapshot, members.get("server_timing", [])).values())
        policy = decode_policy(members)
    except (PolicyUnreadable, Loose) as error:
        raise refused(file.path, error) from None
    unknown = sorted(policy.data_centres.keys() - set(data_centres(snapshot)))
    if unknown:
        raise PolicyRefused(f"{file.path} names data centre {unknown[0]}, but no edge was ever started with it")

    def change(before: Policy) -> Policy:
        if "generation" in members and policy.generation != before.generation:
            raise PolicyRefused(
                f"{file.path} is of policy {policy.generation}, but policy {before.generation} is in force since; look "
                "at 'onehop policy log', then take a new 'onehop policy show --json', or the generation out of the file"
            )
        return replace(policy, salt=before.salt)

    return change


def site_numbers(snapshot: Snapshot, names: Any) -> dict[str, int]:
    """Of those that are there. Raises PolicyRefused, Loose."""
    numbered: dict[str, int] = {}
    for name in names:
        if name in numbered:
            raise Loose(f"{name} is there twice")
        if len(name) > NAME_BYTES_MAX:
            raise Loose(f"{name[:NAME_BYTES_MAX]}… is no site's name")
        if deleted_site_number(snapshot, name) is None:
            numbered[name] = site_number(snapshot, name)
    return numbered


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise Loose(f"{name} is there twice")
    return members


def refuse_loose(where: str, members: Any, kinds: Mapping[str, tuple[type, ...]], *, needed: str = "") -> None:
    """Raises Loose unless `members` is an object of these kinds and no others. `true` is no number."""
    if not isinstance(members, dict):
        raise Loose(f"{where}it must be an object")
    for name, value in members.items():
        if name not in kinds:
            raise Loose(f"{where}unknown member {name}; known are {', '.join(kinds)}")
        if type(value) not in kinds[name]:
            raise Loose(f"{where}{name} must be {' or '.join(KIND_NAMES[kind] for kind in kinds[name])}")
    if needed and needed not in members:
        raise Loose(f"{where}{needed} is missing")


def refused(path: Path, error: ValueError) -> PolicyRefused:
    reason = str(error)
    if len(reason) > REASON_CHARACTERS_MAX:
        reason = f"{reason[:REASON_CHARACTERS_MAX]}…"
    return PolicyRefused(f"{path} isn't a policy: {reason}; nothing was changed")
