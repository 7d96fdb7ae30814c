"""The report in a real browser: it sorts, filters, turns pages and prints, by mouse and by keyboard, for everybody."""

import math
import re
import urllib.request

import pytest
from conftest import other_reports

pytestmark = pytest.mark.browser

REPORTS = ["hand-made", "built", *other_reports()]


@pytest.fixture(params=REPORTS)
def report(request, open_page):
    """Each report, opened from disk."""
    if request.param == "hand-made":
        return open_page(request.getfixturevalue("hand_made"))
    if request.param == "built":
        return open_page((request.getfixturevalue("built").root / "results/mini/report.html").as_uri())
    return open_page(request.param)


@pytest.fixture
def page(hand_made, open_page):
    return open_page(hand_made)


def column(sheet, name):
    """Texts of a column of the rows that are shown."""
    names = sheet.locator("thead th").all_inner_texts()
    place = [shown.strip(" \u25b2\u25bc") for shown in names].index(name)
    return [row[place] for row in sheet.locator("tbody tr").evaluate_all(CELLS)]


def header(sheet, name):
    """The button that sorts by a column."""
    return sheet.locator("th button", has_text=re.compile(f"^{name}$"))


CELLS = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"


def numbers(texts):
    return [math.nan if text == "\u2013" else float(text) for text in texts]


def test_a_click_sorts_numbers_as_numbers(report):
    sheet = report.locator("#all-scores")
    button = header(sheet, "value")
    button.click()
    rising = numbers(column(sheet, "value"))
    assert rising == sorted(rising)
    assert len(set(rising)) > 1
    assert button.locator("..").get_attribute("aria-sort") == "ascending"
    button.click()
    falling = numbers(column(sheet, "value"))
    assert falling == sorted(falling, reverse=True)
    assert falling[0] >= rising[-1]
    assert button.locator("..").get_attribute("aria-sort") == "descending"


def test_words_with_numbers_sort_by_them(page):
    sheet = page.locator("#jobs")
    page.locator("#jobs .tools input").fill("evaluate/")
    header(sheet, "job").click()
    names = column(sheet, "job")
    assert names == sorted(names)


def test_what_is_not_known_comes_last_whichever_way(page):
    sheet = page.locator("#jobs")
    button = header(sheet, "memory of a worker, MB")
    for _ in range(2):
        button.click()
        found = numbers(column(sheet, "memory of a worker, MB"))
        while sheet.get_by_role("button", name="next").is_enabled():
            sheet.get_by_role("button", name="next").click()
            found += numbers(column(sheet, "memory of a worker, MB"))
        known = [not math.isnan(value) for value in found]
        assert known == sorted(known, reverse=True)
        assert 0 < sum(known) < len(known)


def test_menus_and_words_filter(report):
    sheet = report.locator("#all-scores")
    every = int(sheet.get_by_role("status").inner_text().split()[-1])
    menu = sheet.locator("label", has_text=re.compile("^target")).locator("select")
    choice = menu.locator("option").all_inner_texts()[1]
    menu.select_option(choice)
    some = int(sheet.get_by_role("status").inner_text().split()[-1])
    assert 0 < some < every
    assert set(column(sheet, "target")) == {choice}
    sheet.get_by_label("contains").fill("no such thing")
    assert sheet.get_by_role("status").inner_text() == "no row meets this"
    assert column(sheet, "target") == []
    sheet.get_by_label("contains").fill("")
    menu.select_option("all")
    assert int(sheet.get_by_role("status").inner_text().split()[-1]) == every


def test_pages_turn(page):
    sheet = page.locator("#jobs")
    back, forth = (sheet.get_by_role("button", name=name) for name in ("previous", "next"))
    first = column(sheet, "job")
    assert len(first) == 25
    assert back.is_disabled()
    forth.click()
    second = column(sheet, "job")
    assert not set(first) & set(second)
    assert sheet.get_by_role("status").inner_text().startswith("rows 26 to ")
    back.click()
    assert column(sheet, "job") == first


def test_a_menu_chooses_the_figure(report):
    for choice in report.locator(".choice").all():
        options = choice.locator(":scope > .option")
        if options.count() < 2:
            continue
        assert [option.is_visible() for option in options.all()].count(True) == 1
        last = options.count() - 1
        choice.get_by_role("combobox").first.select_option(str(last))
        assert options.nth(last).is_visible()
        assert not options.nth(0).is_visible()


def test_tab_reaches_a_sort_button_and_enter_sorts(report):
    sheet = report.locator("#all-scores")
    sheet.get_by_label("contains").focus()
    for _ in range(20):
        report.keyboard.press("Tab")
        if report.evaluate("document.activeElement.textContent") == "value":
            break
    report.keyboard.press("Enter")
    assert sheet.locator("th", has_text="value").get_attribute("aria-sort") == "ascending"
    assert report.evaluate("document.activeElement.textContent") == "value"
    width = report.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(width.removesuffix("px")) >= 2


def test_the_first_tab_skips_to_the_content(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_pictures_are_there_and_have_words(report):
    images = report.evaluate("[...document.images].map(image => [image.alt, image.naturalWidth])")
    assert all(len(alt) > 5 and width > 0 for alt, width in images)
    silent = "[...document.querySelectorAll('figure svg')].filter(svg => !svg.getAttribute('aria-label')).length"
    assert report.evaluate(silent) == 0


def test_a_print_holds_every_figure(report):
    data = report.pdf()
    assert data.startswith(b"%PDF")
    assert len(data) > 50_000
    report.emulate_media(media="print")
    assert all(option.is_visible() for option in report.locator(".choice > .option").all()[:20])
    assert not report.locator(".tools").first.is_visible()


def test_nothing_is_wider_than_a_telephone(page):
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_everybody_can_use_it(report, axe):
    report.evaluate(axe)
    found = report.evaluate("axe.run(document, {iframes: false})")
    serious = [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert len(found["passes"]) > 15


def test_every_job_is_on_the_board(built, open_page):
    page = open_page(f"{built.board}/results/mini/report.html")
    links = page.evaluate("[...document.querySelectorAll('a.job')].map(link => link.href)")
    jobs = set(built.jobs().values()) - {built.jobs()["report"]}
    sheet = page.locator("#jobs")
    while sheet.get_by_role("button", name="next").is_enabled():
        sheet.get_by_role("button", name="next").click()
        links += page.evaluate("[...document.querySelectorAll('#jobs a.job')].map(link => link.href)")
    assert {link.rpartition("/")[2] for link in links} == jobs
    for link in sorted(set(links)):
        assert link.startswith(f"{built.board}/job/")
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.status == 200
            assert link.rpartition("/")[2] in answer.read().decode()


def test_a_click_leads_to_the_job(built, open_page):
    page = open_page(f"{built.board}/results/mini/report.html")
    link = page.locator("#jobs a.job").first
    job = link.get_attribute("href").rpartition("/")[2]
    with page.expect_navigation():
        link.click()
    assert page.url == f"{built.board}/job/{job}"
    assert job in page.inner_text("h1")


def test_from_disk_links_lead_to_the_usual_board(page):
    links = page.evaluate("[...document.querySelectorAll('a.job')].map(link => link.href)")
    assert links
    assert all(link.startswith("http://localhost:8520/job/main-") for link in links)


def test_a_brain_turns_when_it_is_opened(page):
    frame = page.locator("iframe").first
    assert not frame.is_visible()
    page.locator("details:has(iframe) summary").first.click()
    assert frame.content_frame.get_by_text("turns & turns").inner_text() == "turns & turns"
