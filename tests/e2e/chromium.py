"""Debian's Chromium without a screen, with a profile of its own, and without anything that it does by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.real_parts import find_program

WINDOW: Final = (1280, 900)
OPTIONS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--no-default-browser-check", "--disable-extensions",
)  # fmt: skip


@contextmanager
def opened_chromium(profile: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(find_program("chromium", "chromium-browser", debian_package="chromium"))
    for option in (*OPTIONS, f"--user-data-dir={profile}", f"--window-size={WINDOW[0]},{WINDOW[1]}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(str(find_program("chromedriver", debian_package="chromium-driver"))))
    try:
        yield driver
    finally:
        driver.quit()


def console_of(browser: Chrome) -> list[str]:
    return [f"{entry['level']}: {entry['message']}" for entry in browser.get_log("browser")]
