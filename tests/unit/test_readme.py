"""The README tells the truth where a test can see it."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from easeml.cli.root import app
from easeml.stream.settings import Settings
from easeml.stream.topics import markdown_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_topic_table_is_the_catalogue():
    written = re.search(r"<!-- topics -->\n(.*?)\n<!-- /topics -->", README, re.DOTALL)
    assert written is not None
    assert written.group(1) == markdown_table()


def test_every_verb_exists():
    verbs = set(get_command(app).commands)
    named = re.findall(r"`easeml (?:--json )?([a-z][a-z-]*)|[$] easeml ([a-z][a-z-]*)", README)
    assert {a or b for a, b in named} == verbs


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_named_settings_exist():
    known = {name.upper() for name in Settings.model_fields}
    section = README.split("### Settings")[1].split("## Work on it")[0]
    named = set(re.findall(r"`([A-Z][A-Z_]*[A-Z])`", section))
    assert named == known
