import pytest

from tests.control_plane.client import Api, hashes_of

FILES = {"/index.html": b"1"}


async def added(api: Api, name: object, *, site: str = "example") -> int:
    return (await api.call("POST", f"/{site}/domains", {"name": name})).status


async def test_a_domain_is_active_at_once_and_shows_production(api: Api) -> None:
    await api.create()
    await api.deploy(FILES)
    domain = (await api.call("POST", "/example/domains", {"name": "WWW.Example.org."})).result
    assert (domain["name"], domain["status"]) == ("www.example.org", "active")
    assert api.paths("www.example.org") == hashes_of(FILES)
    route = api.route("www.example.org")
    assert route is not None
    assert not route.is_preview


async def test_a_domain_added_before_the_first_deploy_shows_it_from_then_on(api: Api) -> None:
    await api.create()
    await added(api, "www.example.org")
    assert api.route("www.example.org") is None
    deployment = await api.deploy(FILES)
    assert deployment["aliases"] == ["http://www.example.org:8787"]
    assert api.paths("www.example.org") == hashes_of(FILES)


async def test_a_project_names_its_domains(api: Api) -> None:
    await api.create()
    for name in ("b.example.org", "a.example.org"):
        await added(api, name)
    project = (await api.call("GET", "/example")).result
    assert project["domains"] == ["example.pages.test", "b.example.org", "a.example.org"]
    listed = (await api.call("GET", "/example/domains")).result
    assert [each["name"] for each in listed] == ["b.example.org", "a.example.org"]
    assert (await api.call("GET", "/example/domains/a.example.org")).result == listed[1]
    assert (await api.call("PATCH", "/example/domains/A.example.org", {})).result == listed[1]


async def test_a_removed_domain_is_unknown_at_once_and_free_for_others(api: Api) -> None:
    await api.create()
    await api.create("other")
    await api.deploy(FILES)
    await added(api, "www.example.org")
    assert (await api.call("DELETE", "/example/domains/www.example.org")).envelope["success"]
    assert api.route("www.example.org") is None
    assert (await api.call("DELETE", "/example/domains/www.example.org")).status == 404
    assert await added(api, "www.example.org", site="other") == 200


async def test_a_domain_has_one_owner(api: Api) -> None:
    await api.create()
    await api.create("other")
    await added(api, "www.example.org")
    assert await added(api, "www.example.org") == 409
    assert await added(api, "www.example.org.", site="other") == 409
    for method in ("GET", "PATCH", "DELETE"):
        assert (await api.call(method, "/other/domains/www.example.org")).status == 404


@pytest.mark.parametrize(
    "name",
    [
        "", "localhost", "a b.org", "-a.org", "a..org", "http://a.org", "a.org/x", "a.org:80", "ä.org", "*.example.org",
        "xn--zzzzzz-9999999.org", "127.0.0.1", "[::1]", "1.2", "x" * 64 + ".org",
        "pages.test", "other.pages.test", "a.b.pages.test", 7, None,
    ],
)  # fmt: skip
async def test_a_name_that_is_no_domain_of_the_sites_own_is_refused(api: Api, name: object) -> None:
    await api.create()
    assert await added(api, name) == 400
    assert (await api.call("GET", "/example/domains")).result == []


async def test_an_international_domain_is_added_in_its_ascii_form(api: Api) -> None:
    await api.create()
    assert await added(api, "xn--bcher-kva.example") == 200


async def test_domains_are_bounded(api: Api) -> None:
    await api.create()
    statuses = [await added(api, f"d{number}.example.org") for number in range(101)]
    assert statuses == [200] * 100 + [400]
