"""What an instance was started with, checked before anything is done with it: a typed command line has its slips.

A KeyError in the middle of a run would tell nobody what to type instead; and what is wrong now stays wrong, so that no
retry helps.
"""

import json
from collections.abc import Mapping
from typing import Any

from workflows import NonRetryableError


def read_params(payload: object, *, like: Mapping[str, object], default: Mapping[str, object] | None = None) -> Any:
    """The params, which have a member of the same type for each of `like`, and for each of `default` that or its
    default. Raises NonRetryableError, which shows how they look."""
    default = default or {}
    example = f"they look like {json.dumps({**like, **default})}"
    if not isinstance(payload, dict):
        raise NonRetryableError(f"the params are no object; {example}")
    params = {**default, **payload}
    for name, value in (*like.items(), *default.items()):
        if name not in params:
            raise NonRetryableError(f"the params have no {name!r}; {example}")
        if type(params[name]) is not type(value):
            raise NonRetryableError(f"{name!r} of the params is no {type(value).__name__}; {example}")
    return params
