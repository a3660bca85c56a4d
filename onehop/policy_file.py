"""The whole policy as a file, with sites by name: `policy show --json` prints it, `policy set --file` takes it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from onehop.policy_edit import site_name, site_number
from router.data_centres import data_centres
from router.kv.store import Snapshot
from router.policy import Policy
from router.policy_record import PolicyRefused, PolicyUnreadable, decode_policy, encode_policy

FILE_BYTES_MAX = 4 * 1024 * 1024


def named_policy(snapshot: Snapshot, policy: Policy) -> dict[str, Any]:
    members = encode_policy(policy)
    for name in ("pins", "splits"):
        members[name] = {site_name(snapshot, int(site_no)): each for site_no, each in members[name].items()}
    members["server_timing"] = [site_name(snapshot, site_no) for site_no in members["server_timing"]]
    del members["salt"]
    return members


def policy_from_file(snapshot: Snapshot, path: Path) -> Callable[[Policy], Policy]:
    """The change that puts it in force; the salt stays. A file that was printed from an older generation is refused: it
    would take back, without a word, what somebody has set since. Raises PolicyRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        members = orjson.loads(data) if len(data) <= FILE_BYTES_MAX else None
    except OSError as error:
        raise PolicyRefused(f"{path}: {error.strerror}; nothing was changed") from None
    except orjson.JSONDecodeError as error:
        raise PolicyRefused(f"{path} isn't a policy: {error}; 'onehop policy show --json' prints one") from None
    if not isinstance(members, dict):
        raise PolicyRefused(f"{path} isn't a policy: it must be one JSON object, as 'onehop policy show --json' prints")
    try:
        for name in ("pins", "splits"):
            given = members.get(name, {})
            members[name] = {str(site_number(snapshot, site)): each for site, each in given.items()}
        members["server_timing"] = [site_number(snapshot, str(site)) for site in members.get("server_timing", [])]
        policy = decode_policy(members)
    except (AttributeError, TypeError, PolicyUnreadable) as error:
        raise PolicyRefused(f"{path} isn't a policy: {error}; nothing was changed") from None
    unknown = sorted(policy.data_centres.keys() - set(data_centres(snapshot)))
    if unknown:
        raise PolicyRefused(f"{path} names data centre {unknown[0]}, but no edge was ever started with it")

    def change(before: Policy) -> Policy:
        if "generation" in members and policy.generation != before.generation:
            raise PolicyRefused(
                f"{path} is of policy {policy.generation}, but policy {before.generation} is in force since; look at "
                "'onehop policy log', then take a new 'onehop policy show --json', or the generation out of the file"
            )
        return replace(policy, salt=before.salt)

    return change
