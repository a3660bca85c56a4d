"""From a stored bundle to what the dispatcher loads: modules, compatibility, and the environment. Pure.

    StoredBundle + opened secrets → worker_code → JSON;  at deploy: bundle + settings → refuse_unsupported

The environment: the bundle's own bindings where wrangler sent any, else the project's variables; secrets always from
the project, since no configuration file lists them; what Pages tells every function of its deployment; ASSETS, which
the dispatcher adds. Values of secrets pass through here and nowhere else.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any, Final

import orjson

from functions.bundle import StoredBundle
from functions.bundle_format import Binding, Bundle, ModuleKind
from functions.bundle_parts import BundleRefused

JsonObject = dict[str, Any]
OpenSecret = Callable[[str, str], str]
"""(sealed value, variable's name) to its text. May raise SealBroken."""

ASSETS: Final = "ASSETS"
PLAIN: Final = ("plain_text", "json")
SECRET: Final = "secret_text"  # noqa: S105  # a type, not a secret
KV: Final = "kv_namespace"
UNSUPPORTED: Final = {
    "d1": "a D1 database",
    "r2_bucket": "an R2 bucket",
    "durable_object_namespace": "a Durable Object",
    "queue": "a queue",
    "service": "a service binding",
    "vectorize": "a Vectorize index",
    "hyperdrive": "Hyperdrive",
    "analytics_engine": "Analytics Engine",
    "ai": "Workers AI",
    "browser": "Browser Rendering",
    "mtls_certificate": "an mTLS certificate",
}
"""Binding types by the name that an author knows."""
UNSUPPORTED_SETTINGS: Final = {
    "d1_databases": "d1",
    "r2_buckets": "r2_bucket",
    "durable_object_namespaces": "durable_object_namespace",
    "queue_producers": "queue",
    "services": "service",
    "vectorize_bindings": "vectorize",
    "hyperdrive_bindings": "hyperdrive",
    "analytics_engine_datasets": "analytics_engine",
    "ai_bindings": "ai",
    "browsers": "browser",
    "mtls_certificates": "mtls_certificate",
}
CACHES_NAME: Final = "onehop-caches.js"
ENTRY: Final = """\
import "./{caches}";
import * as main from {main};
export * from {main};
export default main.default;
"""
"""Loaded in the place of the bundle's own main module, which it hands on: `caches` must be there before that runs."""
TRIAL_ENTRY: Final = (
    ENTRY
    + """\
const isHandler = typeof (main.default?.prototype?.fetch ?? main.default?.fetch) === "function";
const problem = "its main module has no handler: it must export a default with a method fetch";
const answer = () => (isHandler ? new Response(null, {{ status: 204 }}) : new Response(problem, {{ status: 500 }}));
export const onehopTrial = {{ fetch: answer }};
"""
)
"""For a trial: with an entrypoint that answers when everything before it has run."""
DEPLOYMENT: Final = "deployment"
"""The settings' member that says what a function may know of its deployment."""


def refuse_unsupported(bundle: Bundle, settings: Mapping[str, Any]) -> None:
    """Raises BundleRefused for a binding that nothing here answers, before a visitor finds out."""
    if bundle.bindings is not None:
        wanted = [(each.name, each.type) for each in bundle.bindings]
    else:
        wanted = [
            (name, kind) for member, kind in UNSUPPORTED_SETTINGS.items() for name in settings.get(member, {}) or {}
        ]
    for name, kind in wanted:
        if kind in (*PLAIN, SECRET, KV):
            continue
        what = UNSUPPORTED.get(kind, f"of the type {kind[:40]!r}")
        raise BundleRefused(
            f"the binding {name[:100]!r} is {what}, which Onehop doesn't have; take it out of the project's settings "
            "or the wrangler configuration. Functions have variables, secrets, KV namespaces and ASSETS"
        )


def worker_code(
    stored: StoredBundle, open_secret: OpenSecret, *, today: date, newest: date, entry: str = ENTRY
) -> bytes:
    """The dispatcher's JSON. `newest` is the last compatibility date that this workerd knows. May raise SealBroken."""
    bundle, settings = stored.bundle, stored.settings
    modules: JsonObject = {}
    binaries: list[tuple[str, str, str]] = []
    for module in bundle.modules:
        match module.kind:
            case ModuleKind.ES_MODULE:
                modules[module.name] = {"js": text_of(module.content)}
            case ModuleKind.COMMON_JS:
                modules[module.name] = {"cjs": text_of(module.content)}
            case ModuleKind.TEXT:
                modules[module.name] = {"text": text_of(module.content)}
            case ModuleKind.WASM:
                binaries.append((module.name, "wasm", b64encode(module.content).decode("ascii")))
            case ModuleKind.DATA:
                binaries.append((module.name, "data", b64encode(module.content).decode("ascii")))
            case ModuleKind.SOURCE_MAP:
                pass
    main = entry_name(modules)
    modules[CACHES_NAME] = {"js": caches_module()}
    modules[main] = {"js": entry.format(main=orjson.dumps("./" + bundle.main.name).decode(), caches=CACHES_NAME)}
    return orjson.dumps(
        {
            "compatibilityDate": compatibility_date(bundle, settings, today=min(today, newest), newest=newest),
            "compatibilityFlags": settings.get("compatibility_flags") or []
            if bundle.compatibility_flags is None
            else bundle.compatibility_flags,
            "mainModule": main,
            "modules": modules,
            "bytes": binaries,
            "env": environment(bundle, settings, open_secret),
            "kv": kv_namespaces(bundle, settings),
        }
    )


@cache
def caches_module() -> str:
    return (files("functions") / "caches.js").read_text("utf-8")


def entry_name(modules: Mapping[str, object]) -> str:
    """One that no module of the bundle has."""
    return next(name for number in count() if (name := f"onehop-entry-{number}.js") not in modules)


def text_of(content: bytes) -> str:
    """As workerd would read it from a file: what isn't UTF-8 becomes U+FFFD."""
    return content.decode("utf-8", "replace")


def compatibility_date(bundle: Bundle, settings: Mapping[str, Any], *, today: date, newest: date) -> str:
    """The bundle's, else the project's, else that of the day on which the project was made. A date that this workerd
    doesn't know yet counts as the newest that it knows."""
    if settings.get("always_use_latest_compatibility_date"):
        return newest.isoformat()
    wanted = bundle.compatibility_date or settings.get("compatibility_date")
    if wanted is None:
        wanted = str(settings.get(DEPLOYMENT, {}).get("project_created_on", today.isoformat()))[:10]
    return str(min(wanted, newest.isoformat()))


def environment(bundle: Bundle, settings: Mapping[str, Any], open_secret: OpenSecret) -> JsonObject:
    """Everything but ASSETS and namespaces: name to value."""
    deployment = settings.get(DEPLOYMENT, {})
    values: JsonObject = {
        "CF_PAGES": "1",
        "CF_PAGES_BRANCH": deployment.get("branch", ""),
        "CF_PAGES_COMMIT_SHA": deployment.get("commit_hash", ""),
        "CF_PAGES_URL": deployment.get("url", ""),
    }
    for name, variable in (settings.get("env_vars") or {}).items():
        if variable.get("type") == SECRET:
            values[name] = open_secret(variable["value"], name)
        elif bundle.bindings is None:
            values[name] = variable.get("value", "")
    values.update(plain_bindings(bundle.bindings or ()))
    return values


def plain_bindings(bindings: tuple[Binding, ...]) -> Iterator[tuple[str, object]]:
    for binding in bindings:
        if binding.type == "json":
            yield binding.name, binding.fields.get("json")
        elif binding.type in ("plain_text", SECRET):
            yield binding.name, binding.fields.get("text", "")


def kv_namespaces(bundle: Bundle, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(binding's name, namespace's id)."""
    if bundle.bindings is not None:
        return [(each.name, str(each.fields.get("namespace_id"))) for each in bundle.bindings if each.type == KV]
    namespaces = settings.get("kv_namespaces") or {}
    return [(name, str(each.get("namespace_id"))) for name, each in namespaces.items()]
