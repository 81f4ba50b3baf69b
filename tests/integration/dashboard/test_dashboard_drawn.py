"""What people see in a browser when things are unusual: pictures, hostile texts, tokens, and services that go away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_stack import DashboardStack
from playwright.sync_api import expect

from easeml.relation import Relation
from easeml.stream import payloads as p
from easeml.stream.topics import PILLAR_TOPICS
from easeml.tokens import Right, TokenFile

HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
COLUMNS = (p.Column("photo", p.ColumnKind.TENSOR, shape=(8, 8)), p.Column(HOSTILE, p.ColumnKind.TEXT))


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with DashboardStack(tmp_path_factory.mktemp("drawn")) as running:
        app = p.AppDefined("photos", HOSTILE, ("no", HOSTILE), COLUMNS, acquisition_budget=50)
        running.publish(app)
        publish_photos(running, app)
        running.publish(replace(app, app="silent"))
        running.until(lambda: running.call("/api/apps").content["apps"] == ["photos", "silent"])
        running.until(lambda: running.call("/api/apps/photos/questions").content["questions"])
        yield running


def publish_photos(stack: DashboardStack, app: p.AppDefined) -> None:
    photos = [np.full((8, 8), float(n)) + np.eye(8) for n in range(3)]
    frame = pd.DataFrame({"photo": photos, HOSTILE: [HOSTILE + " and words" * 20] * 3, HOSTILE + "y": None})
    frame = frame.rename(columns={HOSTILE + "y": "label"}).set_axis(["r0", "r1", "r2"])
    relation = Relation.from_frame(
        frame, label="label", classes=app.classes, row_ids=tuple(frame.index), columns=list(COLUMNS)
    )
    for batch in relation.to_batches(app.app, p.Pillar.POOL, "v1"):
        stack.publisher.publish(PILLAR_TOPICS[p.Pillar.POOL], batch)
    stack.publish(p.DataVersion(app.app, p.Pillar.POOL, "v1", 3, "0" * 64, "published"))
    for place, row in enumerate(frame.index):
        belief = np.array([0.5, 0.5])
        kind, pillar = p.QuestionKind.LABEL, p.Pillar.POOL
        asked = p.Question(
            app.app,
            f"q{row}",
            kind,
            pillar,
            row,
            app.classes,
            1.0 - place / 9,
            "market",
            context={HOSTILE: HOSTILE},
            probabilities=belief,
        )
        stack.publish(asked)
    stack.publish(
        p.ModelPublished(
            app.app,
            HOSTILE,
            HOSTILE,
            "",
            "",
            0,
            "external",
            (),
            app.classes,
            "v1",
            "external",
            {"accuracy": float("nan")},
        )
    )
    stack.publish(p.Verdict(app.app, HOSTILE, True, True, HOSTILE))
    stack.publish(p.ModelPicked(app.app, HOSTILE, 1, 1, True, 1, {HOSTILE: float("nan")}))


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    yield context.new_page()
    context.close()


@pytest.fixture
def tokens(stack):
    file = TokenFile(stack.home)
    yield file
    (stack.home / "tokens.json").unlink()


def test_pictures_are_drawn_and_hostile_texts_are_texts(stack, page):
    page.goto(f"{stack.origin}/#/photos/questions")
    page.wait_for_selector("canvas.image")
    shown = page.evaluate("[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 2, 1).data]")
    assert shown == [255, 255, 255, 255, 0, 0, 0, 255]  # the diagonal is bright
    assert serious(page) == []
    for name in ("journey", "questions", "data", "models", "ci", "picker"):
        page.goto(f"{stack.origin}/#/photos/{name}")
        page.wait_for_selector(f".page-{name} h1")
        expect(page.locator("main")).to_contain_text("<img src=x")
        assert page.locator("main img, main script").count() == 0
    assert page.evaluate("window.hurt") is None


def test_who_skips_everything_has_nothing_left(stack, page):
    page.goto(f"{stack.origin}/#/photos/questions")
    page.wait_for_selector(".candidate")
    page.fill("#annotator", "eve")
    page.keyboard.press("Tab")
    page.reload()
    page.wait_for_selector(".candidate")
    skipped = set()
    while page.locator(".candidate").count():
        shown = page.locator(".question-head").inner_text().splitlines()[-1]
        skipped.add("q" + shown.split()[0])
        page.keyboard.press("s")
        expect(page.get_by_text(shown, exact=True)).to_have_count(0)
    expect(page.locator("main")).to_contain_text("No open questions")
    others = "/api/apps/photos/questions?annotator=ada"
    stack.until(lambda: {one["question"] for one in stack.call(others).content["questions"]} >= skipped)
    assert skipped


def serious(page):
    return [v["id"] for v in Axe().run(page).response["violations"] if v["impact"] in {"serious", "critical"}]


def test_a_token_opens_the_door_and_shows_what_it_may(stack, page, tokens):
    token = tokens.create("ada", ["photos"], [Right.ANSWER])
    page.goto(stack.origin)
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("not known here")
    assert serious(page) == []
    page.fill("#token", token)
    page.keyboard.press("Enter")
    page.wait_for_selector(".steps")
    assert page.locator("#apps option").all_inner_texts() == ["photos"]
    assert "Operations" not in page.locator("#nav").inner_text()
    assert "Data" not in page.locator("#nav").inner_text()
    page.get_by_role("button", name="Leave (ada)").click()
    page.wait_for_selector("#token")
    tokens.revoke("ada")
    looker = tokens.create("eve")
    page.fill("#token", looker)
    page.keyboard.press("Enter")
    page.wait_for_selector(".steps")
    page.goto(f"{stack.origin}/#/photos/questions")
    expect(page.locator("main")).to_contain_text("may look, not answer")


def test_ci_shows_the_meter_as_a_gauge_and_the_plan_in_plain_words(stack, page):
    app = p.AppDefined("gauged", "y", ("a", "b"), (), condition="n - o > 0 +/- 0.1", steps=8, passes=3, meter=True)
    stack.publish(app, p.TestSetOpened(app.app, 1, 1500, 900, 8))
    page.goto(f"{stack.origin}/#/gauged/ci")
    expect(page.locator("main")).to_contain_text("0 of 3, 3 left")
    assert page.locator("meter").count() == 0, "nothing was read yet"
    outcome, ends = p.VerdictOutcome.PASSED, np.full(6, np.nan)
    clauses = (p.ClauseFound(app.condition, "true", 0.05, 0.21),)
    for step, (level, low, high) in enumerate(((0, 0.0, 0.01), (3, 0.05, 0.1)), start=1):
        name = f"model-{step}"
        detail = p.VerdictDetail(app.app, name, None, outcome, True, app.condition, 1, 90, 0, 6.0, None, clauses, ends)
        stack.publish(
            p.ModelPublished(app.app, name, "tree", "", "", 0, "external", (), app.classes, "v", "external"),
            p.Verdict(app.app, name, True, True, None),
            detail,
            p.MeterReading(app.app, 1, name, step, level, low, high, high + 0.02),
        )
    text = "validation and reality lie 5% to 10% apart, at most 12%"
    gauge = page.get_by_label(f"overfitting: {text}")
    expect(gauge).to_have_text(text)
    assert gauge.evaluate("meter => [meter.value, meter.high]") == pytest.approx([0.075, 0.05])
    expect(page.locator("#drift")).to_contain_text("step 2 of 8). Before: level 1.")
    expect(page.locator("main")).to_contain_text("2 of 3, 1 left")
    page.get_by_text("What this means, in plain words").click()
    heading = page.get_by_role("heading", name="What does a pass mean?")
    expect(heading).to_be_visible()
    page.check("#details")
    expect(page.locator("main")).to_contain_text("n - o > 0 +/- 0.1 true, in 0.05 to 0.21")
    expect(heading).to_be_visible()  # what somebody reads stays open
    assert page.locator("details h3").count() == 7
    assert serious(page) == []
    stack.publish(p.AppDeleted(app.app))
    stack.until(lambda: app.app not in stack.call("/api/apps").content["apps"])


def test_an_app_is_paused_and_erased_by_typing_its_name(stack, page):
    stack.publish(p.AppDefined("doomed", "y", ("a", "b"), ()))
    page.goto(f"{stack.origin}/#/photos/journey")
    expect(page.locator("#apps option")).to_have_count(3)
    page.goto(f"{stack.origin}/#/doomed/journey")
    expect(page.get_by_role("heading", name="doomed")).to_be_visible()  # until then the other app's button is there
    page.click("#pause")
    expect(page.locator(".paused")).to_contain_text("Paused")
    assert serious(page) == []
    page.click("#resume")
    expect(page.locator(".paused")).to_have_count(0)
    page.click("#erase")
    dialog = page.get_by_role("dialog")
    sure = dialog.get_by_role("button", name="Erase for good")
    page.keyboard.type("doome")
    expect(sure).to_be_disabled()
    assert serious(page) == []
    page.keyboard.type("d")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("doomed is", timeout=30_000)
    expect(dialog).to_contain_text("services hold nothing of it")
    expect(page.locator("#apps option")).to_have_count(2)
    expect(dialog).to_be_visible()
    assert serious(page) == []


def test_who_loses_the_token_is_shown_the_door(stack, page, tokens):
    token = tokens.create("ada")
    page.goto(stack.origin)
    page.fill("#token", token)
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("live")
    tokens.revoke("ada")
    stack.publish(p.DataVersion("photos", p.Pillar.VALIDATION, "v1", 5, "0" * 64, "published"))
    page.wait_for_selector("#token")


def test_what_is_typed_stays_while_the_page_goes_on(stack, page):
    page.goto(f"{stack.origin}/#/photos/data")
    page.fill("#from", "half a wo")
    stack.publish(p.DataVersion("photos", p.Pillar.TEST, "v1", 123, "0" * 64, "published"))
    expect(page.locator("#pillar")).to_contain_text("test (123)")
    assert page.input_value("#from") == "half a wo"
    assert page.evaluate("document.activeElement.id") == "from"


def test_a_page_says_so_when_a_service_is_away_and_goes_on_when_it_is_back(stack, page):
    page.goto(f"{stack.origin}/#/silent/questions")
    expect(page.locator("main")).to_contain_text("No open questions")
    stack.processes["labels"].kill()
    stack.processes["labels"].wait()
    page.reload()
    expect(page.locator("main")).to_contain_text("cannot be shown now", timeout=30_000)
    assert serious(page) == []
    stack.start("labels")
    stack.until(lambda: (stack.run_file("labels") or {}).get("ready"))
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("main")).to_contain_text("No open questions", timeout=30_000)


def test_a_browser_comes_back_after_the_dashboard_does(stack, page):
    page.goto(f"{stack.origin}/#/photos/journey")
    expect(page.locator("#live")).to_have_text("live")
    stack.processes["dashboard"].kill()
    stack.processes["dashboard"].wait()
    expect(page.locator("#live")).to_have_text("reconnecting")
    stack.publish(p.DataVersion("photos", p.Pillar.TRAIN, "v1", 77, "0" * 64, "published"))
    stack.start("dashboard")
    stack.until(lambda: (stack.run_file("dashboard") or {}).get("ready"))
    expect(page.locator("main")).to_contain_text("77 rows", timeout=30_000)
    expect(page.locator("#live")).to_have_text("live")


def test_a_page_waits_for_the_first_app_and_again_when_the_last_was_deleted(page, tmp_path):
    with DashboardStack(tmp_path, services=("dashboard",)) as alone:
        page.goto(alone.origin)
        for life in ("one", "two"):
            expect(page.locator("main")).to_contain_text("No apps yet")
            alone.publish(p.AppDefined("only", "y", ("a", "b"), (), life=life))
            expect(page.get_by_role("heading", name="only")).to_be_visible()
            expect(page.locator("main")).to_have_attribute("aria-busy", "false")
            alone.publish(p.AppDeleted("only"))


def test_a_question_tells_how_many_of_how_many_people_have_answered(stack, page):
    app = p.AppDefined("crowd", "y", ("no", "yes"), (), acquisition_budget=50, redundancy=3)
    asked = p.Question("crowd", "q", p.QuestionKind.LABEL, p.Pillar.POOL, "r", app.classes, 1.0, "market")
    stack.publish(app, asked, p.Annotation("crowd", "q", "bob", "of bob", 1))
    told = "/api/apps/crowd/questions?annotator=ada"
    stack.until(lambda: "crowd" in stack.call("/api/apps").content["apps"])
    stack.until(
        lambda: [one["heard"] for one in stack.call(told).content["questions"]] == ["1 of 3 people have answered"]
    )
    page.goto(f"{stack.origin}/#/crowd/questions")
    expect(page.locator("#heard")).to_have_text("1 of 3 people have answered.")
    assert serious(page) == []
