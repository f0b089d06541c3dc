#!/usr/bin/env python3
"""Does a report work in a browser? Opens one from disk, in headless Chromium, and uses it.

    python3 -m venv venv && venv/bin/pip install playwright
    cargo nextest run -p sconce-engine -E 'test(the_example_is_written)'
    venv/bin/python benchmarks/interop/report_page.py [target/debug/report-example.html] [--pictures FOLDER] [--json FILE]

The Chromium is the system's, /usr/bin/chromium, or what CHROMIUM names. It is an error if the page says anything on the
console or asks for any file but itself; if a table does not sort, or the filter does not; if the viewer's sliders,
buttons or arrow keys leave its picture as it was; if a page is wider than its window; or if the tables are not there
without scripts. With --pictures, screenshots at 1200 and 390 pixels, light and dark, are left for people to look at.
"""
import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))
from asking import ROOT, record

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


class Page:
    """A page that remembers what went wrong."""

    def __init__(self, browser, path, **settings):
        self.wrong = []
        self.page = browser.new_context(**settings).new_page()
        self.page.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked(request.url, path))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")

    def asked(self, url, path):
        if url != path.as_uri() and not url.startswith("data:"):
            self.wrong.append(f"request: {url[:100]}")

    def check(self, name, good):
        if not good:
            self.wrong.append(name)


def visible(table):
    """The rows that are not filtered away."""
    return [row for row in table.locator("tbody tr").all() if row.is_visible()]


def column(table):
    """The values of the second column, as scripts read them; None where one is undefined."""
    values = table.evaluate("""table => [...table.querySelectorAll("tbody tr")].filter(row => row.offsetParent)
        .map(row => row.querySelector("td").dataset.value ?? null)""")
    return [None if value is None else float(value) for value in values]


def sort(page):
    """By the second column, up and down: numbers in order, undefined ones last."""
    table = page.page.locator(".cases table").last
    button = table.locator("thead button").nth(1)
    for up in (True, False):
        button.click()
        values = column(table)
        defined = [value for value in values if value is not None]
        page.check(f"sorting {'up' if up else 'down'}", defined == sorted(defined, reverse=not up) and len(values) > 1)
        page.check("undefined values last", None not in values[:len(defined)])


def sift(page):
    """By part of an id, by a condition, and by a column that is not there."""
    table, box = page.page.locator(".cases table").last, page.page.locator(".filter input").last
    every = len(visible(table))
    first = visible(table)[0].locator("th").inner_text()
    box.fill(first)
    page.check("filtering by id", [row.locator("th").inner_text() for row in visible(table)] == [first])
    box.fill("")
    name = table.locator("thead th").nth(1).evaluate("""head => {
        const copy = head.cloneNode(true);
        copy.querySelectorAll("small").forEach((hint) => hint.remove());
        return copy.textContent.replace(/\\s+/g, "");
    }""")
    values = [value for value in column(table) if value is not None]
    cut = (min(values) + max(values)) / 2
    box.fill(f"{name}<{cut}")
    page.check("filtering by value", sorted(column(table)) == sorted(value for value in values if value < cut))
    box.fill("nothing>1")
    page.check("naming an unknown column", "nothing" in page.page.locator(".filter output").last.inner_text())
    box.fill("")
    page.check("showing all again", len(visible(table)) == every)


def leaf(page):
    """Each part of the viewer changes the picture. There is none of pictures that have one slice."""
    if page.page.locator(".viewer").count() == 0:
        return
    viewer = page.page.locator(".viewer").first
    canvas = viewer.locator("canvas")
    canvas.wait_for(state="visible")
    seen = lambda: canvas.evaluate("canvas => canvas.toDataURL()")

    def changes(name, act):
        before = seen()
        act()
        page.check(f"viewer: {name}", seen() != before)

    changes("arrow key", lambda: canvas.press("ArrowDown"))
    middle = int(viewer.locator("input.slice").get_attribute("max")) // 2
    changes("slice", lambda: viewer.locator("input.slice").fill(str(middle - 1)))
    page.check("viewer: number of the slice", viewer.locator("output").inner_text().startswith(f"{middle} of"))
    viewer.locator("input.slice").fill(str(middle))
    changes("opacity", lambda: viewer.locator("input.opacity").fill("90"))
    # A network that has learnt nothing may have predicted nothing.
    found = any(value for value in column(page.page.locator(".cases table").last))
    for name in ("reference", "errors", "probability") + (("prediction",) if found else ()):
        page.check(f"viewer: {name}", any(shows(viewer, canvas, name, at) for at in range(2 * middle + 1)))
    viewer.locator("input.slice").fill(str(middle))
    for name in ("coronal", "sagittal", "axial"):
        changes(name, lambda: viewer.get_by_role("button", name=name).click())


def shows(viewer, canvas, name, at):
    """Whether a layer is to be seen in a slice: without it, and with it again."""
    viewer.locator("input.slice").fill(str(at))
    pictures = []
    for _ in range(2):
        viewer.get_by_label(name).click()
        pictures.append(canvas.evaluate("canvas => canvas.toDataURL()"))
    return pictures[0] != pictures[1]


def fits(page):
    """Tables scroll by themselves; the page does not, sideways."""
    page.check("no wider than the window", page.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def photograph(browser, path, folder):
    """Every way that the page is looked at."""
    for width in (1200, 390):
        for scheme in ("light", "dark"):
            page = Page(browser, path, viewport=dict(width=width, height=900), color_scheme=scheme)
            fits(page)
            if folder:
                page.page.screenshot(path=folder / f"report-{width}-{scheme}.png", full_page=True)
            yield f"{width} px, {scheme}", page.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, nargs="?", default=ROOT / "target/debug/report-example.html")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    path = args.page.resolve()
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = {}
        for act in (sort, sift, leaf):
            page = Page(browser, path, viewport=dict(width=1200, height=900))
            act(page)
            found[act.__name__] = page.wrong
        plain = Page(browser, path, java_script_enabled=False)
        plain.check("tables without scripts", len(visible(plain.page.locator(".cases table").last)) > 2)
        plain.check("nothing that needs scripts", plain.page.locator("input:visible, .viewer:visible").count() == 0)
        found["without scripts"] = plain.wrong
        found.update(photograph(browser, path, args.pictures))
        chromium = browser.version
        browser.close()

    for name, wrong in found.items():
        print(f"{name:16} {'; '.join(wrong) or 'good'}")
    print(f"{path.stat().st_size / 1e6:.2f} MB")
    rows = [dict(check=name, wrong=wrong) for name, wrong in found.items()]
    bad = sum(bool(wrong) for wrong in found.values())
    if args.json:
        told = dict(bytes=path.stat().st_size, playwright=version("playwright"), chromium=chromium, bad=bad)
        record(args.json, "benchmarks/interop/report_page.py", rows, told)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
