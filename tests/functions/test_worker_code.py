"""A stored bundle and its settings to what workerd loads: modules, compatibility, environment, and what is refused."""

from datetime import date
from typing import Any

import orjson
import pytest

from functions.bundle import StoredBundle, parse_bundle
from functions.bundle_parts import BundleRefused
from functions.worker_code import DEPLOYMENT, kv_namespaces, refuse_unsupported, worker_code

TODAY, NEWEST = date(2026, 11, 20), date(2026, 11, 17)
NO_SECRETS = {"opened": "never"}


def bundle(metadata: dict[str, Any], *modules: tuple[str, str, bytes]) -> bytes:
    parts = [("metadata", None, orjson.dumps({"main_module": "main.js", **metadata}))]
    parts += [("main.js", "application/javascript+module", b"export default {}"), *modules]
    body = b""
    for name, kind, content in parts:
        body += b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n'
        body += b"Content-Type: " + kind.encode() + b"\r\n" if kind else b""
        body += b"\r\n" + content + b"\r\n"
    return body + b"--b--\r\n"


def code(metadata: dict[str, Any], settings: dict[str, Any], *modules: tuple[str, str, bytes]) -> dict[str, Any]:
    stored = StoredBundle(parse_bundle(bundle(metadata, *modules)), settings)
    loaded: dict[str, Any] = orjson.loads(
        worker_code(stored, lambda sealed, name: f"opened {sealed} of {name}", today=TODAY, newest=NEWEST)
    )
    return loaded


def test_modules_keep_their_names_and_kinds() -> None:
    loaded = code(
        {}, {}, ("a.wasm", "application/wasm", b"\0asm"), ("t.txt", "text/plain", b"text"),
        ("c.js", "application/javascript", b"module.exports = 1"), ("d.bin", "application/octet-stream", b"\xff"),
        ("main.js.map", "application/source-map", b"{}"),
    )  # fmt: skip
    assert loaded["modules"]["main.js"] == {"js": "export default {}"}
    assert loaded["modules"]["t.txt"] == {"text": "text"}
    assert loaded["modules"]["c.js"] == {"cjs": "module.exports = 1"}
    assert "main.js.map" not in loaded["modules"]
    assert loaded["bytes"] == [["a.wasm", "wasm", "AGFzbQ=="], ["d.bin", "data", "/w=="]]


def test_our_entry_never_takes_the_name_of_a_module() -> None:
    loaded = code({}, {}, ("onehop-entry-0.js", "application/javascript+module", b"theirs"))
    assert loaded["modules"]["onehop-entry-0.js"] == {"js": "theirs"}
    assert loaded["mainModule"] == "onehop-entry-1.js"
    assert '"./main.js"' in loaded["modules"]["onehop-entry-1.js"]["js"]


VARIABLES = {
    "env_vars": {
        "PLAIN": {"type": "plain_text", "value": "shown"},
        "SECRET": {"type": "secret_text", "value": "sealed:1:x"},
    },
    DEPLOYMENT: {"branch": "main", "commit_hash": "abc", "url": "http://1.s.pages.test"},
}


def test_without_bindings_of_its_own_a_bundle_gets_the_projects_variables() -> None:
    assert code({}, VARIABLES)["env"] == {
        "CF_PAGES": "1",
        "CF_PAGES_BRANCH": "main",
        "CF_PAGES_COMMIT_SHA": "abc",
        "CF_PAGES_URL": "http://1.s.pages.test",
        "PLAIN": "shown",
        "SECRET": "opened sealed:1:x of SECRET",
    }


def test_a_bundles_bindings_stand_for_the_variables_but_not_for_the_secrets() -> None:
    bindings = [
        {"name": "TEXT", "type": "plain_text", "text": "own"},
        {"name": "OBJECT", "type": "json", "json": {"a": 1}},
        {"name": "KV", "type": "kv_namespace", "namespace_id": "1" * 32},
    ]
    loaded = code({"bindings": bindings}, VARIABLES)
    assert loaded["env"]["TEXT"] == "own"
    assert loaded["env"]["OBJECT"] == {"a": 1}
    assert loaded["env"]["SECRET"] == "opened sealed:1:x of SECRET"
    assert "PLAIN" not in loaded["env"]
    assert loaded["kv"] == [["KV", "1" * 32]]


@pytest.mark.parametrize(
    ("metadata", "settings", "expected"),
    [
        ({"compatibility_date": "2024-01-01"}, {"compatibility_date": "2023-01-01"}, "2024-01-01"),
        ({}, {"compatibility_date": "2023-01-01"}, "2023-01-01"),
        ({}, {DEPLOYMENT: {"project_created_on": "2026-02-03T04:05:06Z"}}, "2026-02-03"),
        ({"compatibility_date": "2030-01-01"}, {}, "2026-11-17"),
        ({"compatibility_date": "2024-01-01"}, {"always_use_latest_compatibility_date": True}, "2026-11-17"),
        ({}, {}, "2026-11-17"),
    ],
)
def test_the_compatibility_date(metadata: dict[str, Any], settings: dict[str, Any], expected: str) -> None:
    assert code(metadata, settings)["compatibilityDate"] == expected


@pytest.mark.parametrize(
    "kind", ["d1", "r2_bucket", "durable_object_namespace", "queue", "service", "ai", "unheard_of"]
)
def test_a_binding_that_nothing_answers_is_refused_by_name(kind: str) -> None:
    parsed = parse_bundle(bundle({"bindings": [{"name": "THING", "type": kind}]}))
    with pytest.raises(BundleRefused, match="'THING'"):
        refuse_unsupported(parsed, {})


def test_bindings_of_the_projects_settings_are_refused_likewise() -> None:
    parsed = parse_bundle(bundle({}))
    with pytest.raises(BundleRefused, match="a D1 database"):
        refuse_unsupported(parsed, {"d1_databases": {"DB": {"id": "x"}}})
    refuse_unsupported(parsed, {"kv_namespaces": {"KV": {"namespace_id": "1" * 32}}, "d1_databases": {}})
    assert kv_namespaces(parsed, {"kv_namespaces": {"KV": {"namespace_id": "1" * 32}}}) == [("KV", "1" * 32)]
