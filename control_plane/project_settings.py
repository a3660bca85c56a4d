"""A project's `build_config` and `deployment_configs`: their defaults, and how a patch changes them. Pure.

A patch is merged deeply, null deletes, whatever isn't named stays. Members that this release gives no meaning to are
kept as they came, so that a client which reads, edits and writes back loses nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from control_plane.errors import ValueRefused
from router.records import JsonObject

ENVIRONMENTS: Final = ("production", "preview")
SETTINGS_BYTES_MAX: Final = 512 * 1024
PLAIN: Final = "plain_text"
SECRET: Final = "secret_text"  # noqa: S105  # a type, not a secret
VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
COMPATIBILITY_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

BUILD_CONFIG_DEFAULTS: Final[JsonObject] = {
    "build_command": "",
    "destination_dir": "",
    "root_dir": "",
    "build_caching": None,
    "web_analytics_tag": None,
    "web_analytics_token": None,
}
DEPLOYMENT_CONFIG_DEFAULTS: Final[JsonObject] = {
    "env_vars": {},
    "compatibility_flags": [],
    "always_use_latest_compatibility_date": False,
    "build_image_major_version": 3,
    "fail_open": False,  # a function that can't be run says so, unless its site wants its assets shown instead
    "usage_model": "standard",
}

SealValue = Callable[[str, str], str]
"""(name, value) to the sealed value of a secret variable."""


def merge(target: JsonObject, patch: JsonObject) -> JsonObject:
    """`target` with `patch` merged in, as RFC 7396 has it. Neither is changed."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def patch_build_config(current: JsonObject, patch: object) -> JsonObject:
    return within_bytes(merge(current, member_object({"build_config": patch}, "build_config")))


def patch_deployment_configs(current: JsonObject, patch: object, seal: SealValue) -> JsonObject:
    """Raises ValueRefused. Secret values in `patch` come out sealed; an empty one leaves a secret that is there as it
    is, since that is how the API shows it to whoever edits what they have read."""
    patches = member_object({"deployment_configs": patch}, "deployment_configs")
    unknown = patches.keys() - set(ENVIRONMENTS)
    if unknown:
        raise ValueRefused(f"deployment_configs takes production and preview, not {', '.join(sorted(unknown))[:100]!r}")
    configs = {name: dict(current.get(name, {})) for name in ENVIRONMENTS}
    for environment in patches:
        config_patch = member_object(patches, environment)
        variables = {
            name: variable_patch(configs[environment].get("env_vars", {}).get(name), name, value, seal)
            for name, value in member_object(config_patch, "env_vars").items()
        }
        date, flags = config_patch.get("compatibility_date"), config_patch.get("compatibility_flags")
        if date is not None and not (isinstance(date, str) and COMPATIBILITY_DATE.fullmatch(date)):
            raise ValueRefused("compatibility_date must be like 2026-01-31")
        if flags is not None and not (isinstance(flags, list) and all(isinstance(flag, str) for flag in flags)):
            raise ValueRefused("compatibility_flags must be a list of strings")
        if config_patch.get("env_vars") is not None:
            config_patch = {**config_patch, "env_vars": variables}
        configs[environment] = merge(configs[environment], config_patch)
    return within_bytes({name: config for name, config in configs.items() if config})


def variable_patch(before: JsonObject | None, name: str, value: object, seal: SealValue) -> JsonObject | None:
    if value is None:
        return None
    if VARIABLE_NAME.fullmatch(name) is None:
        raise ValueRefused(f"{name[:64]!r} can't name a variable: letters, digits and _, not beginning with a digit")
    if not isinstance(value, dict) or not isinstance(value.get("value", ""), str):
        raise ValueRefused(f'variable {name} must be {{"type": "plain_text" or "secret_text", "value": "…"}}, or null')
    kind = value.get("type", (before or {}).get("type", PLAIN))
    if kind not in (PLAIN, SECRET):
        raise ValueRefused(f"variable {name}: its type must be plain_text or secret_text")
    text = value.get("value", "")
    if kind == PLAIN:
        return {"type": PLAIN, "value": text}
    if text == "" and before is not None and before.get("type") == SECRET:
        return before
    return {"type": SECRET, "value": seal(name, text)}


def shown_build_config(stored: Mapping[str, object]) -> JsonObject:
    return {**BUILD_CONFIG_DEFAULTS, **stored}


def shown_deployment_configs(stored: Mapping[str, JsonObject]) -> JsonObject:
    """Both environments, always: clients read into them without asking."""
    shown: JsonObject = {}
    for environment in ENVIRONMENTS:
        config = {**DEPLOYMENT_CONFIG_DEFAULTS, **stored.get(environment, {})}
        shown[environment] = {**config, "env_vars": shown_variables(config["env_vars"])}
    return shown


def shown_variables(variables: Mapping[str, JsonObject]) -> JsonObject:
    """No secret's value ever leaves, sealed or not."""
    return {
        name: {**variable, "value": ""} if variable.get("type") == SECRET else variable
        for name, variable in variables.items()
    }


def member_object(holder: Mapping[str, object], name: str) -> JsonObject:
    """The object under `name`; empty when absent or null. Raises ValueRefused when it is anything else."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueRefused(f"{name} must be an object")
    return value


def within_bytes(settings: JsonObject) -> JsonObject:
    settings_bytes = len(orjson.dumps(settings))
    if settings_bytes > SETTINGS_BYTES_MAX:
        raise ValueRefused(f"the settings would take {settings_bytes} bytes, the limit is {SETTINGS_BYTES_MAX}")
    return settings
