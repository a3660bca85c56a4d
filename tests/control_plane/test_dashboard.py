"""Hardening 50 to 52 for the pages: what comes out of a workflow stays text, who asks must be one of our own pages,
and a session is one browser's, for as long as its token counts."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from control_plane.plane import ControlPlane
from control_plane.sessions import COOKIE, SESSION_S_MAX
from control_plane.tokens import Access, all_tokens, revoke_token
from tests.control_plane.client import FakeTime
from tests.control_plane.dashboard_client import NASTY, ORIGIN, PAGES, SAME_ORIGIN, Browser, open_browser
from workflows.states import Trigger
from workflows.store import instances
from workflows.store.instances import NewInstance

DEADLINE_S = 20.0


@pytest.fixture
async def browser(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_browser(plane, tmp_path) as opened:
        yield opened


async def start(browser: Browser) -> str:
    """An instance of `nasty` that waits."""
    handle = await browser.engine.create("nasty", params={"note": NASTY})
    workflow_id = browser.engine.workflow("nasty").id
    async with asyncio.timeout(DEADLINE_S):
        while True:
            detail = browser.engine.reads.describe(workflow_id, handle.id)
            if detail is not None and len(detail.steps) == 3:
                return handle.id
            await asyncio.sleep(0.02)


async def test_hardening_50_what_a_workflow_says_stays_text(browser: Browser) -> None:
    await browser.sign_in()
    instance = await start(browser)
    searched = f"{PAGES}/nasty?search={quote(NASTY)}"
    for path in (PAGES, f"{PAGES}/nasty", f"{PAGES}/nasty/{instance}", searched):
        page = await browser.get(path)
        assert page.status_code == 200
        assert "<img" not in page.text
        assert "onerror=alert(1)>" not in page.text.replace("&gt;", "")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=(?!alert)", page.text.replace("&#34;", ""))
    assert "&lt;img src=x onerror=alert(1)&gt;" in (await browser.get(f"{PAGES}/nasty/{instance}")).text


async def test_hardening_50_what_is_not_there_is_told_without_markup(browser: Browser) -> None:
    await browser.sign_in()
    for path in (f"{PAGES}/{quote(NASTY, safe='')}", f"{PAGES}/nasty/{quote(NASTY, safe='')}", f"{PAGES}/a/b/c/d"):
        page = await browser.get(path)
        assert page.status_code == 404
        assert "<img" not in page.text


FOREIGN = [
    {},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ORIGIN.replace("8788", "8787")},
    {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"referer": f"{ORIGIN}/dashboard"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_hardening_51_another_sites_page_can_do_nothing(browser: Browser, headers: dict[str, str]) -> None:
    await browser.sign_in()
    instance = await start(browser)
    for path, form in (
        (f"{PAGES}/nasty/{instance}", {"action": "delete"}),
        (f"{PAGES}/nasty", {"params": "{}"}),
        ("/dashboard/sign-in", {"token": browser.token()}),
        ("/dashboard/sign-out", {}),
    ):
        refused = await browser.post(path, form, headers)
        assert (path, refused.status_code) == (path, 403)
        assert "set-cookie" not in refused.headers
    assert (await browser.get(f"{PAGES}/nasty/{instance}")).status_code == 200


async def test_hardening_51_the_api_takes_no_cookie(browser: Browser) -> None:
    await browser.sign_in()
    for path in (f"/client/v4/accounts/{browser.plane.account_id}/workflows", "/onehop/v1/tokens"):
        assert (await browser.get(path, **{"sec-fetch-site": "same-origin"})).status_code == 401


async def test_hardening_52_the_cookie_is_this_hosts_and_no_scripts(browser: Browser) -> None:
    answer = await browser.sign_in()
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"path=/", "secure", "httponly", "samesite=strict"} <= attributes
    assert not any(attribute.startswith("domain") for attribute in attributes)


async def test_hardening_52_a_session_brought_along_is_never_taken_up(browser: Browser) -> None:
    fixed = "a" * 43
    browser.http.cookies.set(COOKIE, fixed, domain="onehop.test")
    assert (await browser.get(PAGES)).status_code == 303
    await browser.sign_in()
    assert browser.http.cookies[COOKIE] != fixed
    browser.http.cookies.clear()
    assert (await browser.get(PAGES, cookie=f"{COOKIE}={fixed}")).status_code == 303


async def test_hardening_52_two_cookies_of_the_name_are_none(browser: Browser) -> None:
    await browser.sign_in()
    own = browser.http.cookies[COOKIE]
    browser.http.cookies.clear()
    assert (await browser.get(PAGES, cookie=f"{COOKIE}={own}")).status_code == 200
    assert (await browser.get(PAGES, cookie=f"{COOKIE}={own}; {COOKIE}=other")).status_code == 303


async def test_a_session_ends_with_its_sign_out_its_token_and_its_time(browser: Browser, time: FakeTime) -> None:
    await browser.sign_in()
    cookie = f"{COOKIE}={browser.http.cookies[COOKIE]}"
    signed_out = await browser.post("/dashboard/sign-out", {})
    assert signed_out.status_code == 303
    assert (await browser.get(PAGES, cookie=cookie)).status_code == 303
    await browser.sign_in()
    with browser.plane.store.write() as transaction:
        for record in list(all_tokens(transaction)):
            revoke_token(transaction, record.id)
    assert (await browser.get(PAGES)).status_code == 303
    await browser.sign_in()
    time.now_s += SESSION_S_MAX + 1
    assert (await browser.get(PAGES)).status_code == 303


async def test_whoever_may_only_read_sees_no_button_and_can_press_none(browser: Browser) -> None:
    await browser.sign_in(Access.READ)
    instance = await start(browser)
    for path in (f"{PAGES}/nasty", f"{PAGES}/nasty/{instance}"):
        page = (await browser.get(path)).text
        assert 'name="action"' not in page
        assert (await browser.post(path, {"action": "delete"})).status_code == 403


async def test_a_token_of_one_site_signs_nobody_in(browser: Browser) -> None:
    answer = await browser.post("/dashboard/sign-in", {"token": browser.token(site_no=7)})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    wrong = await browser.post("/dashboard/sign-in", {"token": "onehop_nobody"})
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (f"{PAGES}/nasty", f"{PAGES}/nasty?signed-in"),
        ("https://evil.example/", f"{PAGES}?signed-in"),
        ("//evil.example/dashboard/workflows/", f"{PAGES}?signed-in"),
        (f"{PAGES}\\@evil.example", f"{PAGES}?signed-in"),
        (f"{PAGES}.evil.example", f"{PAGES}?signed-in"),
        (f"{PAGES}/\r\nSet-Cookie: a=b", f"{PAGES}?signed-in"),
    ],
)
async def test_signing_in_leads_back_to_where_one_was_and_nowhere_else(browser: Browser, asked: str, sent: str) -> None:
    answer = await browser.post("/dashboard/sign-in", {"token": browser.token(), "next": asked})
    assert (answer.status_code, answer.headers["location"]) == (303, sent)


async def test_a_page_asked_for_without_a_session_is_remembered(browser: Browser) -> None:
    answer = await browser.get(f"{PAGES}/nasty")
    assert answer.headers["location"] == f"/dashboard/sign-in?next={quote(f'{PAGES}/nasty', safe='')}"
    kept = await browser.get(f"{PAGES}/nasty?signed-in")
    assert "didn't keep the session" in (await browser.get(kept.headers["location"])).text.replace("&#39;", "'")


async def test_forms_start_steer_and_delete_an_instance(browser: Browser) -> None:
    await browser.sign_in()
    made = await browser.post(f"{PAGES}/nasty", {"action": "trigger", "id": "by-hand", "params": '{"n": 1}'})
    assert (made.status_code, made.headers["location"]) == (303, f"{PAGES}/nasty/by-hand")
    page = f"{PAGES}/nasty/by-hand"
    workflow_id = browser.engine.workflow("nasty").id
    for form, statuses in (
        ({"action": "pause"}, ("paused",)),
        ({"action": "resume"}, ("queued", "running", "waiting")),
        ({"action": "send-event", "type": "other", "payload": "{}"}, ("queued", "running", "waiting")),
        ({"action": "terminate", "rollback": "yes"}, ("terminated",)),
        ({"action": "restart"}, ("queued", "running", "waiting")),
    ):
        answer = await browser.post(page, form)
        assert (form, answer.status_code, answer.headers["location"]) == (form, 303, page)
        async with asyncio.timeout(DEADLINE_S):
            while browser.engine.record(workflow_id, "by-hand").status.api_name not in statuses:
                await asyncio.sleep(0.02)
    gone = await browser.post(page, {"action": "delete"})
    assert (gone.status_code, gone.headers["location"]) == (303, f"{PAGES}/nasty")
    assert (await browser.get(page)).status_code == 404


async def test_row_63_an_instance_that_a_schedule_made_has_its_page(browser: Browser) -> None:
    await browser.sign_in()
    workflow_id = browser.engine.workflow("nasty").id
    new = NewInstance(id="*/30 * * * MON#2-1786001400000", params=b"{}", trigger=Trigger.CRON)
    await browser.engine.writer.submit(lambda tx: instances.create(tx, workflow_id, [new], skip_known=False))
    listed = await browser.get(f"{PAGES}/nasty")
    (link,) = re.findall(r'href="([^"]+MON[^"]+)"', listed.text)
    page = await browser.get(link)
    assert (page.status_code, "cron" in page.text) == (200, True)
    assert (await browser.post(link, {"action": "terminate"})).headers["location"] == link
    assert browser.engine.record(workflow_id, new.id).status.api_name == "terminated"


async def test_a_form_that_can_not_be_is_told_on_its_page_and_keeps_what_was_typed(browser: Browser) -> None:
    await browser.sign_in()
    for form, status in (
        ({"action": "trigger", "id": "-bad", "params": '{"kept": 1}'}, 400),
        ({"action": "trigger", "params": '{"kept": '}, 400),
    ):
        page = await browser.post(f"{PAGES}/nasty", form)
        assert page.status_code == status
        assert "kept" in page.text
    instance = await start(browser)
    for form, status in (
        ({"action": "send-event", "type": "", "payload": "{}"}, 400),
        ({"action": "send-event", "type": "x", "payload": "{,}"}, 400),
        ({"action": "resume"}, 409),
        ({"action": "fly"}, 400),
        ({"action": "restart", "step": "nothing", "count": "1", "type": "do"}, 409),
        ({"action": "restart", "step": "x", "count": "²", "type": "do"}, 400),
    ):
        page = await browser.post(f"{PAGES}/nasty/{instance}", form)
        assert (form, page.status_code) == (form, status)
        assert 'role="alert"' in page.text
        if form["action"] == "send-event":
            assert f'spellcheck="false">{form["payload"]}</textarea>' in page.text


async def test_a_form_that_is_none_is_refused(browser: Browser) -> None:
    await browser.sign_in()
    for body in (b"\xff=1", b"a=1&a=2", b"&".join(b"f%d=1" % number for number in range(99)), b"x" * 20_000_000):
        answer = await browser.http.post(f"{PAGES}/nasty", content=body, headers=SAME_ORIGIN)
        assert answer.status_code in (400, 413)
