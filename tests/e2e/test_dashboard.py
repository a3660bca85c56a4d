"""The workflows' pages in Chromium: signing in, reading without a script, following live, and pressing buttons."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.conftest import LiveServer, serving
from tests.e2e.chromium import console_of
from tests.e2e.workflow_worker import described_until, working

WAIT_S = 20
REPLACED_MEANWHILE = "does not belong to the document"  # told without a class of its own when it happens within a click
WAITING = ("running", "waiting")
PHONE = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
WIDER_THAN_SHOWN = (
    "return [document.documentElement, ...document.querySelectorAll('.scroll')]"
    ".some(each => each.scrollWidth > each.clientWidth)"
)
NASTY = "</script><img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("dashboard") / "data") as running, working(running):
        yield running


def sign_in(browser: Chrome, server: LiveServer, path: str = "") -> None:
    browser.get(f"http://127.0.0.1:{server.api_port}/dashboard/workflows{path}")
    fill_in(browser, "token", server.token)
    press(browser, "Sign in")
    until(browser, "Sign out")


def wait_until(browser: Chrome, is_so: Callable[[Chrome], bool]) -> None:
    """Asked again where the page was replaced while it was being looked at."""

    def ask(driver: Chrome) -> bool:
        try:
            return is_so(driver)
        except WebDriverException as error:
            if isinstance(error, StaleElementReferenceException) or REPLACED_MEANWHILE in str(error):
                return False
            raise

    WebDriverWait(browser, WAIT_S).until(ask)


def press(browser: Chrome, text: str) -> None:
    """The one that is shown."""

    def click(driver: Chrome) -> bool:
        found = driver.find_elements(By.XPATH, f"//button[.='{text}']|//summary[.='{text}']")
        shown = [each for each in found if each.is_displayed()]
        if shown:
            shown[0].click()
        return bool(shown)

    wait_until(browser, click)


def fill_in(browser: Chrome, name: str, text: str) -> None:
    def write(driver: Chrome) -> bool:
        driver.find_element(By.NAME, name).send_keys(text)
        return True

    wait_until(browser, write)


def until(browser: Chrome, text: str) -> None:
    try:
        wait_until(browser, lambda driver: text in text_of(driver))
    except TimeoutException:
        raise AssertionError(f"{text!r} isn't on {browser.current_url}: {text_of(browser)}") from None


def text_of(browser: Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def start(server: LiveServer, name: str, params: str = "{}") -> str:
    server.cli("workflow", "trigger", "order", params, "--id", name)
    described_until(server, "order", name, *WAITING, steps=3)
    return name


def test_a_wrong_token_is_told_and_a_right_one_leads_back(browser: Chrome, server: LiveServer) -> None:
    browser.get(f"http://127.0.0.1:{server.api_port}/dashboard/workflows/order")
    fill_in(browser, "token", "onehop_nobody")
    press(browser, "Sign in")
    until(browser, "isn't a token that is valid here")
    fill_in(browser, "token", server.token)
    press(browser, "Sign in")
    until(browser, "Start an instance")
    assert "/dashboard/workflows/order" in browser.current_url
    press(browser, "Sign out")
    until(browser, "API token")
    browser.get(f"http://127.0.0.1:{server.api_port}/dashboard/workflows/order")
    until(browser, "API token")


def test_a_page_follows_its_instance_and_shows_nothing_but_text(
    browser: Chrome, server: LiveServer, tmp_path: Path
) -> None:
    name = start(server, "followed", '{"failures": 1}')
    sign_in(browser, server, f"/order/{name}")
    until(browser, "waiting for “picked-up”")
    until(browser, "live")
    browser.find_element(By.XPATH, "//summary[contains(., 'charge-1')]").click()
    until(browser, "the bank is closed")
    assert '"receipt": "r-9"' in text_of(browser)
    payload = '{"by": "' + NASTY + '"}'
    server.cli("workflow", "send-event", "order", name, "--type", "picked-up", "--payload", payload)
    until(browser, "Complete")
    until(browser, NASTY)
    assert "the bank is closed" in text_of(browser), "what was opened stays open"
    assert browser.title.startswith(name)
    assert console_of(browser) == []
    browser.save_screenshot(str(tmp_path / "instance.png"))


def test_forms_start_pause_resume_send_and_terminate(browser: Chrome, server: LiveServer) -> None:
    sign_in(browser, server, "/order")
    press(browser, "Start an instance…")
    fill_in(browser, "id", "by-hand")
    press(browser, "Start")
    until(browser, "waiting for “picked-up”")
    press(browser, "Pause")
    until(browser, "Paused")
    press(browser, "Resume")
    wait_until(browser, lambda driver: bool(driver.find_elements(By.XPATH, "//button[.='Pause']")))
    press(browser, "Send event…")
    kind = browser.find_element(By.NAME, "type")
    assert kind.get_attribute("value") == "picked-up"
    press(browser, "Send")
    until(browser, "Complete")
    press(browser, "Restart…")
    press(browser, "Restart")
    until(browser, "waiting for “picked-up”")
    press(browser, "Terminate…")
    press(browser, "Terminate")
    until(browser, "Terminated")
    press(browser, "Delete…")
    press(browser, "Delete")
    until(browser, "Start an instance")
    assert "by-hand" not in text_of(browser)
    assert console_of(browser) == []


def test_everything_is_readable_without_a_script(browser: Chrome, server: LiveServer) -> None:
    name = start(server, "unscripted", '{"failures": 1}')
    sign_in(browser, server)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"http://127.0.0.1:{server.api_port}/dashboard/workflows/order?search=unscr&status=")
    browser.find_element(By.LINK_TEXT, name).click()
    until(browser, "waiting for “picked-up”")
    browser.find_element(By.XPATH, "//summary[contains(., 'charge-1')]").click()
    assert "the bank is closed" in text_of(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(browser: Chrome, server: LiveServer, tmp_path: Path, scheme: str) -> None:
    name = start(server, f"phone-{scheme}-" + "long" * 15, '{"failures": 1}')
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    sign_in(browser, server)
    for number, path in enumerate(("", "/order", f"/order/{name}")):
        browser.get(f"http://127.0.0.1:{server.api_port}/dashboard/workflows{path}")
        browser.save_screenshot(str(tmp_path / f"{scheme}-{number}.png"))
        assert browser.execute_script("return innerWidth") == PHONE["width"]
        assert browser.execute_script(WIDER_THAN_SHOWN) is False
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in paper[4:-1].split(",")) > 384) is (scheme == "light")
