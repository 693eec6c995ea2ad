"""Chromium, for the tests of pages."""

import os
import shutil

import pytest


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        say = pytest.fail if os.environ.get("TRIPTYCH_NEED_BROWSER") else pytest.skip
        say("there is no chromium; `make browser` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
