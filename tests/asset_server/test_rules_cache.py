from asset_server.manifest import Manifest, encode_manifest
from asset_server.redirects import RedirectRules
from asset_server.rules_cache import ENTRY_BYTES, RulesCache


def with_redirects(count: int) -> Manifest:
    rules = RedirectRules.parse("".join(f"/old-{n} /new\n" for n in range(count)))[0]
    return Manifest(encode_manifest({}, redirects=rules.encode()))


def test_rules_are_decoded_once() -> None:
    compiled = RulesCache()
    manifest = with_redirects(3)
    rules = compiled.of(manifest, "a")
    assert rules.redirects is not None
    assert rules.headers is None
    assert compiled.of(manifest, "a") is rules


def test_a_deployment_without_rules_has_none() -> None:
    rules = RulesCache().of(Manifest(encode_manifest({})), "a")
    assert (rules.redirects, rules.headers) == (None, None)


def test_the_least_recently_used_go_when_the_bytes_are_many() -> None:
    compiled = RulesCache(encoded_bytes_max=3 * ENTRY_BYTES)
    empty = Manifest(encode_manifest({}))
    first = compiled.of(empty, "a")
    for each in ("b", "a", "c", "a", "d"):
        compiled.of(empty, each)
    assert len(compiled) == 3
    assert compiled.encoded_bytes <= 3 * ENTRY_BYTES
    assert compiled.of(empty, "a") is first


def test_rules_over_the_bound_are_kept_alone() -> None:
    compiled = RulesCache(encoded_bytes_max=1)
    manifest = with_redirects(50)
    rules = compiled.of(manifest, "a")
    assert compiled.of(manifest, "a") is rules
    compiled.of(manifest, "b")
    assert len(compiled) == 1
