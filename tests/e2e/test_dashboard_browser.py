"""The dashboard in a real browser, on the demo's data: every page, wide and narrow, light and dark, by keyboard."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from confluent_kafka import Producer
from playwright.sync_api import Browser, Page, expect

from browsers import CHROMIUM, chromium
from easeml import repairing
from easeml.client import Client
from easeml.demo import scenario
from easeml.labels.client import LabelClient
from easeml.stream.payloads import Pillar
from easeml.stream.runfiles import read_run_file
from easeml.stream.topics import VALUES
from easeml.supervisor import wait_ready

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
PAGES = {
    "journey": ".step:nth-child(8)",
    "questions": ".candidate",
    "data": ".doubt",
    "feasibility": "#curves-numbers",
    "models": "#stream-numbers",
    "ci": ".page-ci table:visible",
    "picker": ".page-picker table",
    "operations": ".page-operations table",
}
"""Page -> what is there when it is drawn."""
SIZES = {"wide": {"width": 1440, "height": 1000}, "narrow": {"width": 390, "height": 844}}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """A house with the demo's rows, models that were judged, and questions that nobody has answered."""
    home = tmp_path_factory.mktemp("dashboard-house")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("EASEML_")}
    own = {"EASEML_HOME": str(home), "EASEML_LABELS_PORT": "0", "EASEML_SERVING_PORT": "0"}
    with (home / "supervisor.log").open("w") as log:
        house = subprocess.Popen(
            [sys.executable, "-m", "easeml.supervisor"], env=clean | own, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_ready(home, 120, while_alive=house.pid)
        with Client(home=home) as client:
            publish(client)
        yield home
    finally:
        house.terminate()
        house.wait(60)


def publish(client: Client) -> None:
    data = scenario.load()
    client.create_app(
        "segments", label=scenario.LABEL, frame=data.train, condition="n > 0.75 +/- 0.1", steps=len(client.algorithms())
    )
    for pillar, frame in (
        (Pillar.TEST, data.test),
        (Pillar.POOL, data.pool),
        (Pillar.TRAIN, data.train),
        (Pillar.VALIDATION, data.validation),
    ):
        client.publish("segments", frame, pillar, row_ids=[f"{pillar}-{n}" for n in range(len(frame))])
        if pillar is Pillar.TRAIN:
            repairing.propose(client, "segments", 5)
    client.create_app("empty", label="nothing")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@dataclass
class Visit:
    """One visitor: a window, and what its console complained of."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, name: str, app: str = "segments", *, drawn: str | None = None) -> None:
        self.page.goto(f"{self.address}/#/{app}/{name}")
        self.page.wait_for_selector(PAGES[name] if drawn is None else drawn, timeout=120_000)

    def serious(self) -> list[str]:
        found = Axe().run(self.page).response["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in {"serious", "critical"}]


@pytest.fixture
def visit(home: Path, browser: Browser) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def begin(size: str = "wide", scheme: str = "light") -> Visit:
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
        port = read_run_file(home, "dashboard")["ports"]["dashboard"]
        visits.append(Visit(context.new_page(), f"http://127.0.0.1:{port}"))
        told = visits[-1].complaints
        page = visits[-1].page
        page.on("console", lambda m: told.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        return visits[-1]

    yield begin
    for one in visits:
        one.page.context.close()
        assert one.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_drawn_and_may_be_read_by_everybody(visit, size, scheme):
    seen = visit(size, scheme)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        seen.open(name)
        seen.page.screenshot(path=SCREENSHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
        assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is too wide"
        assert seen.serious() == [], name


def test_an_app_without_anything_has_pages_too(visit):
    seen = visit("narrow")
    for name in PAGES:
        seen.open(name, "empty", drawn=f".page-{name} h1")
        expect(seen.page.locator("main")).not_to_contain_text("cannot be shown")
        assert seen.serious() == [], name


def test_a_question_is_answered_by_keyboard_alone(visit, home):
    seen = visit()
    seen.open("journey")
    seen.page.keyboard.press("g")
    seen.page.keyboard.press("q")
    seen.page.wait_for_selector(PAGES["questions"])
    asked = seen.page.locator(".question-head").inner_text()
    port = read_run_file(home, "labels")["ports"]["labels"]
    with LabelClient(f"127.0.0.1:{port}") as labels:
        before = {question.question for question in labels.questions("segments")}
        seen.page.keyboard.press("1")
        expect(seen.page.locator("#sitting")).to_contain_text("1 answer in this sitting")
        expect(seen.page.locator(".question-head")).not_to_have_text(asked)
        deadline = time.monotonic() + 30
        while len(before - {question.question for question in labels.questions("segments")}) == 0:
            assert time.monotonic() < deadline, "the answer did not reach the label service"
            time.sleep(0.1)
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#sitting")).to_contain_text("2 answers in this sitting")
    seen.page.keyboard.press("?")
    expect(seen.page.get_by_role("dialog")).to_be_visible()
    seen.page.keyboard.press("Escape")


def test_a_cell_is_answered_where_it_stands(visit):
    seen = visit()
    seen.open("data")
    seen.page.keyboard.press("u")
    expect(seen.page.locator("#uncertain")).to_be_checked()
    while not seen.page.locator(".doubt button", has_text="asked").count():
        seen.page.keyboard.press("ArrowRight")
        seen.page.wait_for_timeout(500)
    seen.page.locator(".doubt button", has_text="asked").first.click()
    dialog = seen.page.get_by_role("dialog")
    expect(dialog).to_contain_text("datamagic.repairs")
    assert seen.serious() == []
    dialog.locator(".answers button").first.click()
    expect(seen.page.locator("#toasts")).to_contain_text("Answered.")


def test_a_dead_letter_is_looked_at_and_redriven(visit, home):
    with Client(home=home) as client:
        producer = Producer(client.settings.kafka())
        producer.produce(VALUES.name, b"not an event", b"key", 0)
        assert producer.flush(30) == 0
    seen = visit()
    seen.open("operations", drawn="button[id^=View]")
    row = seen.page.locator("tr", has_text="values").filter(has_text="schema").first
    row.get_by_role("button", name="View").click()
    expect(seen.page.get_by_role("dialog")).to_contain_text("easeml.values.v1")
    assert seen.serious() == []
    seen.page.keyboard.press("Escape")
    named = row.locator("td").first.inner_text()
    row.get_by_role("button", name="Redrive").click()
    seen.page.check("#all")
    expect(seen.page.locator("tr", has_text=named).get_by_text("redriven")).to_be_visible()


def test_pages_follow_without_being_loaded_again(visit, home):
    seen = visit()
    seen.open("journey")
    seen.page.evaluate("window.same = true")
    with Client(home=home) as client:
        client.update_app("segments", target=0.77)
    expect(seen.page.locator(".title")).to_contain_text("target 77%")
    assert seen.page.evaluate("window.same") is True


def test_the_scheme_is_chosen_and_kept(visit):
    seen = visit()
    seen.open("picker")
    for chosen in ("light", "dark"):
        seen.page.click("#theme")
        assert seen.page.evaluate("document.documentElement.dataset.theme") == chosen
    seen.page.reload()
    seen.page.wait_for_selector(PAGES["picker"])
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
