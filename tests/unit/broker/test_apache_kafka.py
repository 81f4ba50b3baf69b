"""What ``make kafka`` says where Java or Maven are missing, old or failing."""

import pytest

from brokers import apache_kafka
from easeml.errors import ConfigurationError, UnavailableError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return what puts a program on an otherwise empty path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(apache_kafka, "BUILD", tmp_path / "build")

    def install(name, script):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return install


def test_java_is_asked_for_first(machine):
    with pytest.raises(ConfigurationError, match=r"Java is not on the path.*apt-get install openjdk-17"):
        apache_kafka.libraries()
    machine("java", """echo 'openjdk version "11.0.27" 2025-04-15' >&2""")
    with pytest.raises(ConfigurationError, match="Java 11 is too old"):
        apache_kafka.libraries()
    machine("java", """echo 'openjdk version "21" 2023-09-19' >&2""")
    with pytest.raises(ConfigurationError, match=r"Maven \('mvn'\) is not on the path.*Install"):
        apache_kafka.libraries()


def test_what_maven_fetched_is_kept_and_what_it_says_is_told(machine, tmp_path):
    machine("java", """echo 'openjdk version "17.0.15" 2025-04-15'""")
    machine("mvn", "echo no route to the registry; exit 1")
    with pytest.raises(UnavailableError, match="no route to the registry"):
        apache_kafka.libraries()
    machine("mvn", 'for word in "$@"; do case $word in -DoutputDirectory=*) /bin/mkdir "${word#*=}";; esac; done')
    folder = apache_kafka.libraries()
    assert folder.parent == tmp_path / "build"
    machine("mvn", "exit 1")
    assert apache_kafka.libraries() == folder
