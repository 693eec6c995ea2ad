"""Take the picture of the report for the README: ``python docs/screenshot.py`` (``make picture``)."""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

MAX_BYTES = 300_000


def screenshot(page: Path, picture: Path, width: int, height: int) -> None:
    """Write a PNG of the top of a page in the light theme; exit with a message if that is not possible."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium found: run `make browser`")
    if not page.is_file():
        raise SystemExit(f"{page} is missing: run `make repro`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("figure svg[role=img]")
        image = tab.screenshot()
        browser.close()
    if len(image) > MAX_BYTES:
        raise SystemExit(f"the picture has {len(image)} bytes, more than {MAX_BYTES}; choose a smaller --height")
    picture.write_bytes(image)


def main() -> None:
    """Read the options and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=Path("metrics/report.html"))
    parser.add_argument("--out", type=Path, default=Path("docs/report.png"))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=990)
    args = parser.parse_args()
    screenshot(args.page, args.out, args.width, args.height)


if __name__ == "__main__":
    main()
