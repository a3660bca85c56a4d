"""Chromium, as a visitor has it, over the hosts that sites really have: `*.pages.localhost` needs no name server."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from onehop.demo import laid_over_each_other
from tests.conftest import Serve
from tests.e2e.chromium import console_of
from tests.real_parts import find_documentation_site

WAIT_S: Final = 20


def statuses_of(browser: Chrome) -> dict[str, int]:
    """Of the page and everything that it loaded, as the browser saw them."""
    script = """return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .map(entry => [entry.name, entry.responseStatus])"""
    return dict(browser.execute_script(script))


def test_a_documentation_site_opens_and_links_work_without_a_console_error(
    browser: Chrome, serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    server.cli("deploy", str(find_documentation_site()), "--project", "docs", "--branch", "main", "--follow-links")
    browser.get(f"http://docs.pages.localhost:{server.edge_port}/")
    assert "Documentation" in browser.title
    browser.find_element(By.PARTIAL_LINK_TEXT, "Library Reference").click()
    WebDriverWait(browser, WAIT_S).until(lambda driver: "/library/" in driver.current_url)
    assert "Standard Library" in browser.find_element(By.TAG_NAME, "h1").text
    browser.save_screenshot(str(tmp_path / "documentation.png"))
    assert {name: status for name, status in statuses_of(browser).items() if status not in (200, 304)} == {}
    assert console_of(browser) == []


def test_each_arm_shows_the_same_picture(browser: Chrome, serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with laid_over_each_other(("look", "tour")) as folder:
        server.cli("deploy", str(folder), "--project", "tour", "--branch", "main", cwd=tmp_path)
    server.cli("policy", "set", "--server-timing", "--reason", "look")
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    pictures = {}
    for arm in ("hashed", "legacy", "legacy-compiled"):
        server.cli("policy", "set", "--scheme", arm, "--reason", "compare")
        assert f'desc="{arm}"' in (server.get("tour.pages.localhost").field("server-timing") or "")
        browser.get(f"http://tour.pages.localhost:{server.edge_port}/")
        assert browser.find_element(By.TAG_NAME, "h1").text
        browser.save_screenshot(str(tmp_path / f"tour-{arm}.png"))
        pictures[arm] = (tmp_path / f"tour-{arm}.png").read_bytes()
        assert {name: status for name, status in statuses_of(browser).items() if status != 200} == {}
        assert console_of(browser) == []
    assert len(set(pictures.values())) == 1


@pytest.fixture
def demo_urls(tmp_path: Path) -> Iterator[list[str]]:
    """Where `onehop demo` says that its sites are, while it runs."""
    command = [sys.executable, "-m", "onehop", "demo", "--data", str(tmp_path / "data"), "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--api-port", "0"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        urls = []
        for line in process.stdout:
            urls += re.findall(r"http://\S+\.pages\.localhost:\d+\S*", line)
            if "Ctrl-C" in line:
                break
        yield urls
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=WAIT_S)
        process.stdout.close()


def test_each_page_of_the_demo_opens_without_a_console_error(
    browser: Chrome, demo_urls: list[str], tmp_path: Path
) -> None:
    assert len(demo_urls) >= 3
    for number, url in enumerate(demo_urls):
        browser.get(url)
        browser.save_screenshot(str(tmp_path / f"demo-{number}.png"))
        assert browser.find_element(By.TAG_NAME, "h1").text
        links = {link.get_dom_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "nav a, header a")}
        pages = {link.split("#")[0] for link in links if link and link.startswith("/")} - {"", "/"}
        for page in sorted(pages):
            browser.get(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}{page}")
            assert browser.title
        assert {name: status for name, status in statuses_of(browser).items() if status not in (200, 304)} == {}
        assert console_of(browser) == []
