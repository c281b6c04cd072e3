"""The report in a real Chromium: opens offline, sorts, filters, rotates, prints, and is accessible."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionsieve.report import write_report
from ionsieve.report.serve import LivePage, make_server
from ionsieve.testing.synthetic_campaign import synthetic_campaign

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("IONSIEVE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).parents[1] / "data" / "axe-core" / "axe.min.js"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or set IONSIEVE_CHROMIUM)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic_campaign(24), tmp_path_factory.mktemp("report") / "report.html")


class Watched:
    """A page that notes everything that should not happen."""

    def __init__(self, browser, path: Path, *, size: str = "desktop", scheme: str = "light") -> None:
        self.trouble: list[str] = []
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        self.page = self.context.new_page()
        self.page.on(
            "console", lambda m: self.trouble.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda e: self.trouble.append(f"exception: {e}"))
        self.page.on(
            "request",
            lambda r: (
                None if r.url.startswith(("file:", "blob:", "data:")) else self.trouble.append(f"request: {r.url}")
            ),
        )
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self.page

    def __exit__(self, *error: object) -> None:
        self.context.close()
        if error[0] is None:
            assert self.trouble == []


def visible_formulas(page) -> list[str]:
    return page.eval_on_selector_all(
        "#ranking-table tbody:not([hidden]) tr:not([hidden]):not(.section-row) th a", "a => a.map(e => e.textContent)"
    )


def test_all_sections_and_plots_are_there(browser, report):
    with Watched(browser, report) as page:
        for key in ("summary", "ranking", "conductivity", "comparison", "candidates", "flags", "methods"):
            assert page.locator(f"#{key}").is_visible()
        plots = page.locator("main figure svg.plot:visible")
        assert plots.count() >= 5
        for i in range(plots.count()):
            box = plots.nth(i).bounding_box()
            assert box["width"] > 200
            assert box["height"] > 100
        # marks lie within the drawing, none at NaN
        assert (
            page.eval_on_selector_all("svg.plot *", "n => n.filter(e => /NaN|undefined/.test(e.outerHTML)).length") == 0
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sorting_goes_both_ways_and_keeps_blanks_last(browser, report):
    with Watched(browser, report) as page:
        head = page.locator("th[data-sort=sigma] button")
        cells = "tbody[data-section=ranked] td:nth-child(3)"
        sigma = f"e => [...e.querySelectorAll('{cells}')].map(c => Number(c.dataset.value))"
        head.click()
        up = page.eval_on_selector("#ranking-table", sigma)
        head.click()
        down = page.eval_on_selector("#ranking-table", sigma)
        assert up == sorted(up)
        assert down == sorted(down, reverse=True)
        assert page.locator("th[data-sort=sigma]").get_attribute("aria-sort") == "descending"


def test_filters_narrow_and_say_so(browser, report):
    with Watched(browser, report) as page:
        everything = visible_formulas(page)
        page.fill("#find", "nasicon")
        some = visible_formulas(page)
        assert 0 < len(some) < len(everything)
        assert "candidates are shown" in page.inner_text("#table-status")
        page.fill("#find", "")
        page.select_option("#family", "antiperovskite")
        assert 0 < len(visible_formulas(page)) < len(everything)
        page.select_option("#family", "")
        page.uncheck("input[name=section][value=bounded]")
        assert len(visible_formulas(page)) < len(everything)
        page.check("input[name=section][value=failed]")
        assert page.locator("tbody[data-section=failed]").is_visible()


def until_true(page, expression: str, seconds: float = 20.0) -> None:
    """Wait until a script expression holds; Playwright's own waiting compiles text, which the page's CSP forbids."""
    deadline = time.perf_counter() + seconds
    while not page.evaluate(expression):
        assert time.perf_counter() < deadline, f"still not so after {seconds} s: {expression}"
        page.wait_for_timeout(25)


def test_a_candidate_opens_from_its_link_and_its_structure_turns(browser, report):
    with Watched(browser, report) as page:
        page.locator(".leaders a").first.click()
        details = page.locator("details.candidate[open]")
        assert details.count() == 1
        canvas = details.locator("canvas")
        canvas.scroll_into_view_if_needed()
        until_true(page, "document.querySelector('details[open] canvas').dataset.drawn > 0")
        shot = lambda: page.evaluate("document.querySelector('details[open] canvas').toDataURL()")  # noqa: E731
        drawn = "Number(document.querySelector('details[open] canvas').dataset.drawn)"

        def after(act) -> str:
            count = page.evaluate(drawn)
            act()
            until_true(page, f"{drawn} > {count}")
            return shot()

        start = shot()
        assert len(start) > 10_000
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

        def drag() -> None:
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 80, y + 30, steps=4)
            page.mouse.up()

        dragged = after(drag)
        canvas.focus()
        turned = after(lambda: page.keyboard.press("ArrowLeft"))
        nearer = after(lambda: page.keyboard.press("+"))
        more = after(lambda: details.locator("select[data-view=repeat]").select_option("2"))
        bare = after(lambda: details.locator("input[data-view=bonds]").uncheck())
        cloud = after(lambda: details.locator("input[data-view=density]").check())
        assert len({start, dragged, turned, nearer, more, bare, cloud}) == 7


def test_the_data_behind_a_figure_can_be_read_and_saved(browser, report, tmp_path):
    with Watched(browser, report) as page:
        figure = page.locator("#figure-tradeoff")
        figure.locator("[data-act=table]").click()
        assert figure.locator(".data-table tbody tr").count() > 3
        for act, start in (("csv", "candidate_id,"), ("svg", "<svg")):
            with page.expect_download() as caught:
                figure.locator(f"[data-act={act}]").click()
            file = tmp_path / f"saved.{act}"
            caught.value.save_as(file)
            assert file.read_text().startswith(start)
        with page.expect_download() as caught:
            page.click("#table-csv")
        caught.value.save_as(tmp_path / "ranking.csv")
        assert len((tmp_path / "ranking.csv").read_text().splitlines()) == 25


def test_the_theme_changes_and_follows_the_reader(browser, report):
    with Watched(browser, report, scheme="dark") as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour)
        page.click("#theme")
        light = page.evaluate(colour)
        assert dark != light
        assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_keyboard_reaches_everything(browser, report):
    with Watched(browser, report) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.locator("details.candidate > summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.candidate[open]").count() == 1
        page.locator("th[data-sort=ea] button").focus()
        page.keyboard.press("Enter")
        assert page.locator("th[data-sort=ea]").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", sorted(SIZES))
def test_axe_finds_no_serious_violation(browser, report, size, scheme):
    script = AXE.read_text()
    with Watched(browser, report, size=size, scheme=scheme) as page:
        for summary in page.locator("details.candidate > summary").all()[:2]:
            summary.click()
        for title in ("failed", "sieved"):
            page.check(f"input[name=section][value={title}]")
        page.evaluate(script)  # runs in the page without a script element: its policy stays as it is
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        told = json.dumps([[v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:3]]] for v in bad], indent=1)
        assert bad == [], told


def test_the_phone_shows_no_sideways_page(browser, report):
    with Watched(browser, report, size="phone") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
        assert page.locator(".leaders .card").first.bounding_box()["width"] > 300


def test_paper_shows_the_leaders_and_hides_the_controls(browser, report, tmp_path):
    with Watched(browser, report) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("details.candidate[open]").count() == 5
        assert page.locator(".filters").is_hidden()
        assert page.locator(".bar").is_hidden()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        pdf = page.pdf(path=tmp_path / "report.pdf", format="A4")
        assert pdf.startswith(b"%PDF")
        assert len(pdf) > 50_000


def test_without_scripts_the_page_still_tells_its_story(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#ranking-table tbody tr").count() > 10
    assert page.locator("figure svg.plot").first.is_visible()
    context.close()


def test_a_hundred_candidates_stay_small_and_open_fast(browser, tmp_path):
    file = write_report(synthetic_campaign(100), tmp_path / "hundred.html")
    assert file.stat().st_size < 15e6
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    busy, waited = [], []
    for _ in range(3):
        page = context.new_page()
        # the page's own thread time: what the file costs, however busy the machine is with other things
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        start = time.perf_counter()
        page.goto(file.as_uri())
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        waited.append(time.perf_counter() - start)
        metrics = session.send("Performance.getMetrics")["metrics"]
        busy.append(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))
        page.close()
    context.close()
    size = file.stat().st_size / 1e6
    print(f"hundred candidates: {size:.2f} MB, {min(busy):.2f} s of its thread, {min(waited):.2f} s on the clock")
    assert min(busy) < 2.0


def test_the_live_page_renews_itself(browser, tmp_path):
    folder = tmp_path / "campaign"
    (folder / "records" / "fit" / "aa").mkdir(parents=True)
    (folder / "events.jsonl").write_text('{"n": 0}\n')
    size = [12]
    server = make_server(LivePage(folder, load=lambda _: synthetic_campaign(size[0])), 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    context = browser.new_context()
    try:
        page = context.new_page()
        outside: list[str] = []
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        page.on("request", lambda r: None if r.url.startswith((address, "blob:")) else outside.append(r.url))
        page.clock.install()
        page.goto(address)
        assert page.locator(".facts dd").first.inner_text() == "12"
        with page.expect_response("**/version"):
            page.clock.run_for(6000)
        size[0] = 16
        with (folder / "events.jsonl").open("a") as stream:
            stream.write('{"n": 1}\n')
        with page.expect_navigation():
            page.clock.run_for(6000)
        assert page.locator(".facts dd").first.inner_text() == "16"
        assert outside == []
    finally:
        context.close()
        server.shutdown()
        server.server_close()
        thread.join(10)
