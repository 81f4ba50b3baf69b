"""Every page with nothing, with an error, and with 100,000 of what it lists: small, and for everybody to read."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_crowd import MANY, Crowd, fill, publish_rows
from dashboard_stack import DashboardStack
from playwright.sync_api import expect

ALL = ("journey", "questions", "data", "feasibility", "models", "ci", "picker", "operations")
LISTS = ("data", "models", "ci", "picker", "operations")
"""Pages that turn the pages of a list."""
BYTES, NODES = 64_000, 1_200
"""Of each reply of the server, and of the elements that a page has."""
REFUSAL = '{"error":{"reason":"internal","message":"The dashboard failed on this request.","mend":"Its log says why."}}'


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    with DashboardStack(tmp_path_factory.mktemp("crowd"), ("labels",)) as stack:
        made = Crowd(stack)
        with made.running():
            publish_rows(made)
            fill(made)
            yield made


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


def replies(page) -> list[int]:
    """Return a list that fills with the bytes of each reply of the server, news left out."""
    sizes: list[int] = []
    page.on("requestfinished", lambda one: sizes.append(len(one.response().body())) if "/api/" in one.url else None)
    return sizes


def serious(page):
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in {"serious", "critical"}]


def nodes(page) -> int:
    return page.evaluate("document.querySelectorAll('*').length")


def test_pages_of_an_app_without_anything(crowd, page):
    for name in ALL:
        page.goto(f"{crowd.origin}/#/silent/{name}")
        page.wait_for_selector(f".page-{name} h1")
        expect(page.locator("main")).not_to_contain_text("cannot be shown")
        assert nodes(page) < NODES
        assert serious(page) == [], name


def test_pages_say_that_they_cannot_be_shown_and_come_back(crowd, page):
    page.goto(f"{crowd.origin}/#/silent/journey")
    for name in ALL:
        for pattern in ("**/api/apps/silent/**", "**/api/operations"):
            page.route(pattern, lambda route: route.fulfill(status=500, content_type="application/json", body=REFUSAL))
        page.goto(f"{crowd.origin}/#/silent/{name}")
        expect(page.get_by_role("alert")).to_contain_text("This page cannot be shown now.")
        expect(page.get_by_role("alert")).to_contain_text("Its log says why.")
        assert serious(page) == [], name
        with page.expect_response(lambda response: response.status == 500):
            page.get_by_role("button", name="Try again").click()
        page.unroute_all()
        page.evaluate("document.getElementById('again')?.click()")  # unless a reading under way has just succeeded
        page.wait_for_selector(f".page-{name} h1")
        expect(page.get_by_role("alert")).to_have_count(0)


def test_what_answers_in_place_of_the_dashboard_is_no_riddle(crowd, page):
    page.route("**/api/apps/silent/**", lambda route: route.fulfill(status=502, body="<html>Bad Gateway</html>"))
    page.goto(f"{crowd.origin}/#/silent/models")
    expect(page.get_by_role("alert")).to_contain_text("Something else than the dashboard answered (status 502).")


@pytest.mark.parametrize("name", ALL)
def test_pages_with_100_000_of_each_thing_stay_small(crowd, page, name):
    sizes = replies(page)
    page.goto(f"{crowd.origin}/#/many/{name}")
    page.wait_for_selector(f".page-{name} :is(table, .steps, .candidate, .empty)", timeout=60_000)
    assert nodes(page) < NODES
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert serious(page) == []
    if name in LISTS:
        shown = page.locator(".turn .num")
        size = int(shown.inner_text().split()[2])
        page.keyboard.press("ArrowRight")
        expect(shown).to_contain_text(f"{size + 1} to {2 * size} of")
        page.click("#on")
        expect(shown).to_contain_text(f"{2 * size + 1} to {3 * size} of")
        assert nodes(page) < NODES
    if name == "ci":
        page.check("#details")
        page.wait_for_selector("#intervals-numbers")
        assert nodes(page) < 2 * NODES  # each row has more to tell
        assert serious(page) == []
    assert max(sizes) < BYTES


def test_the_figures_are_those_of_all_100_000(crowd, page):
    for name, text in {
        "journey": "100,000 models; the best reaches 90.0%.",
        "questions": "100,000 answers, 50,000 bits; 0 open",
        "feasibility": "the best 6 of 30 transformations",
        "data": "100,000 rows in train, 1,000 of them uncertain",
        "models": "100,000 models",
        "ci": "33,334 of 100,000 models passed",
        "picker": "100,000 picks",
        "operations": "100,000 open",
    }.items():
        page.goto(f"{crowd.origin}/#/many/{name}")
        expect(page.locator("main")).to_contain_text(text)
    assert MANY == 100_000
