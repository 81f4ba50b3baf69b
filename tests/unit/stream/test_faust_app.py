"""The faust app: what starting it must not do."""

from easeml.stream.faust_app import FaustApp


async def test_starting_leaves_the_current_directory_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAUST_WORKDIR", raising=False)
    app = FaustApp("easeml-quiet", lambda fetched: None, (), lambda error: None)
    await app.start()
    await app.stop()
    assert list(tmp_path.iterdir()) == []
