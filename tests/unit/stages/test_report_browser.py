"""The report in headless Chromium: it draws, sorts, switches, fits a phone and is accessible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.stages.report.compare import Run, page_of_two
from polylm_core.stages.report.material import read_material
from tests.unit.stages.report_inputs import make_inputs, run_stage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
MOST_BYTES = 5_000_000
DESK, PHONE = 1280, 390
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: apt install chromium"
    ),
]


class Seen:
    """What a browser complained of or asked for while a page was open."""

    def __init__(self, page: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return run_stage(make_inputs(folder / "inputs"), folder).path / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


def open_page(browser: Any, file: Path, width: int, address: str = "") -> tuple[Any, Seen]:
    page = browser.new_page(viewport={"width": width, "height": 900})
    seen = Seen(page)
    page.goto(f"{file.as_uri()}{address}")
    page.wait_for_selector("html[data-charts=drawn]", state="attached", timeout=120_000)
    return page, seen


@pytest.fixture(scope="module")
def opened(browser: Any, file: Path) -> tuple[Any, Seen]:
    return open_page(browser, file, DESK)


@pytest.fixture
def page(opened: tuple[Any, Seen]) -> Any:
    return opened[0]


def grave_violations(page: Any) -> list[tuple[str, str]]:
    """What axe-core calls serious or critical, with the first element of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], each["nodes"][0]["html"]) for each in grave]


def cells(page: Any, column: int) -> list[str]:
    """A column of the table of all languages."""
    rows = page.locator("#languages > .scroll table tbody tr")
    return [row.locator("th, td").nth(column).inner_text() for row in rows.all()]


def test_the_file_is_small_enough_to_send(file: Path) -> None:
    assert file.stat().st_size < MOST_BYTES


def test_it_opens_without_a_complaint_or_a_request(opened: tuple[Any, Seen], file: Path) -> None:
    assert opened[1].complaints == []
    assert [url for url in opened[1].requests if not url.startswith("data:")] == [file.as_uri()]


def test_every_chart_on_show_is_drawn(page: Any) -> None:
    shown = page.locator(".chart:visible")
    assert shown.count() >= 13
    for chart in shown.all():
        assert chart.locator("svg.main-svg").count() > 0, chart.get_attribute("id")
    assert page.locator("#no-charts").is_hidden()


def test_a_column_sorts_by_its_figures_by_mouse_and_by_keys(page: Any) -> None:
    head = page.locator("#languages > .scroll thead th").nth(3)
    tokens = [int(cell.replace(",", "")) for cell in cells(page, 3)]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert [int(cell.replace(",", "")) for cell in cells(page, 3)] == sorted(tokens)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert cells(page, 0)[0] == "English"
    assert [int(cell.replace(",", "")) for cell in cells(page, 3)] == sorted(tokens, reverse=True)


def test_units_sort_by_size_and_names_by_letters(page: Any) -> None:
    heads = page.locator("#languages > .scroll thead th")
    heads.nth(2).locator("button").click()
    sizes = [float(cell.split()[0]) for cell in cells(page, 2)]
    assert sizes == sorted(sizes)
    heads.nth(0).locator("button").click()
    assert cells(page, 0)[:2] == ["Arabic", "Dutch"]
    assert heads.nth(2).get_attribute("aria-sort") is None


def test_times_sort_by_their_length(page: Any) -> None:
    times = ["2 h 03 min", "59.1 s", "4 min 50 s", "4 min 05 s"]
    read = [page.evaluate("text => figureOf(text)", text) for text in times]
    assert read == [7380, 59.1, 290, 245]


def test_the_row_of_all_languages_stays_on_top(page: Any) -> None:
    page.locator("#figure-bits-per-byte summary").click()
    table = page.locator("#figure-bits-per-byte table")
    for _ in range(2):
        table.locator("thead button").nth(1).click()
        assert table.locator("tbody tr").first.locator("th").inner_text() == "All languages"


def test_the_switch_shows_one_language_and_draws_its_curve(page: Any) -> None:
    page.locator("#language-choice").select_option("language-tha_Thai")
    page.locator("#language-tha_Thai").wait_for(state="visible")
    assert page.locator("article.language:visible").count() == 1
    assert page.url.endswith("#language-tha_Thai")
    page.locator("#chart-bits-tha_Thai svg.main-svg").first.wait_for(state="visible")
    page.go_back()
    page.locator("#language-tha_Thai").wait_for(state="hidden")


@pytest.mark.parametrize("code", ["arb_Arab", "heb_Hebr"])
def test_an_address_opens_a_language_that_reads_from_right_to_left(
    browser: Any, file: Path, code: str
) -> None:
    page, seen = open_page(browser, file, PHONE, f"#language-{code}")
    card = page.locator(f"#language-{code}")
    assert card.is_visible()
    assert page.locator("#language-switch").evaluate("e => e.getBoundingClientRect().top") < 100
    for place in (".native", "dd.reference", "dd.answer"):
        shown = card.locator(place).first
        assert shown.evaluate("e => getComputedStyle(e).direction") == "rtl", place
    card.locator("details.more summary", has_text="pairs kept").click()
    sides = card.locator("details[open] .pieces p")
    direction = "e => getComputedStyle(e).direction"
    assert [sides.nth(n).evaluate(direction) for n in (0, 1)] == ["ltr", "rtl"]
    assert seen.complaints == []
    page.close()


def test_chinese_asks_for_a_chinese_font(page: Any) -> None:
    family = page.locator("#language-zho_Hans .native").evaluate(
        "e => getComputedStyle(e).fontFamily"
    )
    assert "CJK SC" in family


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_never_scrolls_sideways(browser: Any, file: Path, width: int) -> None:
    page, _ = open_page(browser, file, width)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for table in page.locator(".scroll:visible").all():
        box = table.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.close()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_axe_finds_nothing_serious(browser: Any, file: Path, width: int) -> None:
    page, _ = open_page(browser, file, width, "#language-arb_Arab")
    assert grave_violations(page) == []
    page.close()


def test_the_page_of_two_runs_is_as_sound(browser: Any, tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs")
    material = read_material(inputs, POLYLM_LANGUAGES)
    runs = [Run(name, material, POLYLM_LANGUAGES) for name in ("one", "other")]
    (tmp_path / "both.html").write_text(page_of_two(*runs), encoding="utf-8")
    page, seen = open_page(browser, tmp_path / "both.html", PHONE)
    assert seen.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.locator(".chart svg.main-svg").count() >= 3
    assert grave_violations(page) == []
    page.close()


def test_without_scripts_everything_can_be_read(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("article.language").count() == 18
    assert page.locator("#language-heb_Hebr").is_visible()
    assert page.locator("#language-switch").is_hidden()
    assert page.get_by_text("The charts are not drawn").is_visible()
    context.close()
