"""What the shell is told while somebody types the name of an app."""

from __future__ import annotations

import uuid

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.cli.verbs import VERBS


def complete(*words: str, bootstrap: str = "", home: str = "") -> list[str]:
    """Return what bash offers for the last word."""
    typed = " ".join(("easeml", *(("--bootstrap", bootstrap) if bootstrap else ()), *words))
    environment = {
        "_EASEML_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "EASEML_HOME": home,
        "EASEML_BOOTSTRAP_SERVERS": "",
    }
    shown = CliRunner().invoke(command, [], prog_name="easeml", env=environment)
    assert shown.exit_code == 0, shown.output
    return shown.output.split()


@pytest.fixture
def apps(client):
    """Names of two apps; a third that began alike is deleted."""
    prefix = f"done-{uuid.uuid4().hex[:6]}"
    names = [f"{prefix}-{n}" for n in range(3)]
    for name in names:
        client.create_app(name, label="kind")
    client.delete_app(names.pop())
    return names


def test_a_verb_that_takes_an_app_offers_those_that_begin_so(apps, cluster):
    prefix, broker = apps[0][:-1], {"bootstrap": cluster.bootstrap_servers, "home": str(cluster.home)}
    for verb in (
        "watch",
        "label",
        "label export",
        "advise",
        "upload",
        "apps show",
        "apps delete --erase",
        "models list",
    ):
        assert complete(*verb.split(), prefix, **broker) == apps, verb
    assert complete("apps", "show", apps[1], **broker) == [apps[1]]
    assert complete("watch", "nobody-has-this", **broker) == []
    assert complete("tokens", "create", "ada", "--app", prefix, **broker) == apps


def test_words_of_the_group_are_offered_beside_apps(apps, cluster):
    broker = {"bootstrap": cluster.bootstrap_servers, "home": str(cluster.home)}
    assert {"answer", "export", "import", *apps} <= set(complete("label", "", **broker))


def test_where_no_house_answers_nothing_is_offered_and_nothing_is_said(tmp_path):
    assert complete("watch", "", home=str(tmp_path)) == []
    assert complete("label", "e", home=str(tmp_path)) == ["export"]
    assert set(complete("", home=str(tmp_path))) == set(VERBS)
