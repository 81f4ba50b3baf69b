"""``easeml algorithms`` announces search spaces of files and of installed packages."""

from __future__ import annotations

import json
import re
import uuid
from types import SimpleNamespace

import pytest

from easeml.automl import contributions
from easeml.automl.contributions import Contribution, contributed
from easeml.automl.spaces import Space
from easeml.errors import ConfigurationError, NotFoundError
from easeml.stream.payloads import TrialAssigned, TrialFinished, TrialOutcome
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import TRIALS

SPACE = {"name": "svm-wide", "family": "svm", "parameters": {"C": {"low": 1.0, "high": 100.0, "log": True}}, "arms": 3}


@pytest.fixture
def acme(monkeypatch):
    """A package whose entry point is called acme, and one that does not load."""
    offer = Contribution(spaces=(Space(name="acme-lda", family="lda"),))
    entries = [
        SimpleNamespace(name="acme", value="acme:it", load=lambda: offer),
        SimpleNamespace(name="worn", value="worn:it", load=lambda: 1 / 0),
    ]
    monkeypatch.setattr(contributions, "entry_points", lambda group: entries)
    contributed.cache_clear()
    yield
    contributed.cache_clear()


def test_a_search_space_is_announced_and_listed(easeml, invoke, tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(SPACE))
    assert easeml("algorithms", "announce", file, as_json=True) == {
        "announced": ["svm-wide-1", "svm-wide-2", "svm-wide-3"]
    }
    listed = [json.loads(line) for line in invoke("algorithms", "list", as_json=True).stdout.splitlines()]
    ours = {one["algorithm"]: one for one in listed if one["algorithm"].startswith("svm-wide")}
    assert len(ours) == 3
    assert (ours["svm-wide-1"]["family"], json.loads(ours["svm-wide-1"]["parameters"])) == ("svm", {"C": 10.0})


def test_what_trainers_would_refuse_is_not_announced(easeml, tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(SPACE | {"name": "svm-odd", "parameters": {"depth": [1, 2]}}))
    with pytest.raises(ConfigurationError, match="'svm' has no parameter 'depth'"):
        easeml("algorithms", "announce", file)
    assert "svm-odd" not in easeml("algorithms", "list")
    with pytest.raises(NotFoundError, match="There is no file"):
        easeml("algorithms", "announce", tmp_path / "absent.json")


def test_arms_are_learnt_from_the_trials_of_an_app(easeml, cluster, tmp_path):
    name = f"app-{uuid.uuid4().hex[:8]}"
    easeml("apps", "create", name, "--label", "kind")
    scales = tmp_path / "space.json"
    scales.write_text(
        json.dumps({"name": "lda-by", "family": "lda", "parameters": {"scale": ["clip", "rank"]}, "arms": 4})
    )
    publisher = EventPublisher(cluster, "trainer")
    tried = '{"scale": "clip"}'
    publisher.send(TRIALS, TrialAssigned(name, "t1", "a", "lda", tried, "d", 9.0, "v1", 9, 9, round=1))
    publisher.send(TRIALS, TrialFinished(name, "t1", "a", TrialOutcome.TRAINED, 0.8, 0.1))
    publisher.flush()
    (arm,) = easeml("algorithms", "announce", scales, "--for", name, as_json=True)["announced"]
    assert re.fullmatch("lda-by-[0-9a-f]{6}", arm)
    assert f'{arm} │ lda │ {{"scale": "rank"}}' in easeml("algorithms", "list").replace("┃", "│")
    publisher.send(TRIALS, TrialAssigned(name, "t2", arm, "lda", '{"scale": "rank"}', "d", 9.0, "v1", 9, 9, round=1))
    publisher.send(TRIALS, TrialFinished(name, "t2", arm, TrialOutcome.TRAINED, 0.7, 0.1))
    publisher.flush()
    assert "Announced nothing: all was tried." in easeml("algorithms", "announce", scales, "--for", name)
    with pytest.raises(NotFoundError, match="There is no app"):
        easeml("algorithms", "announce", scales, "--for", f"{name}-else")


def test_a_package_is_announced_by_its_name(easeml, invoke, acme):
    assert easeml("algorithms", "announce", "--package", "acme") == "Announced acme-lda."
    assert "acme-lda" in easeml("algorithms", "list")
    with pytest.raises(NotFoundError, match="'worn' cannot be loaded: ZeroDivisionError"):
        easeml("algorithms", "announce", "--package", "worn")
    with pytest.raises(NotFoundError, match="'other' brings no algorithms") as told:
        easeml("algorithms", "announce", "--package", "other")
    assert "Packages found: acme" in told.value.mend
    assert invoke("algorithms", "announce").exit_code == 2
