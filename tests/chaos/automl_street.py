"""One scheduler and some trainers, forked from one process and started again when they die.

``python automl_street.py HOME BOOTSTRAP_SERVERS PARTITIONS TRAINER...``; ``HOME/pids.json`` names the processes, a file
``HOME/gone-NAME`` keeps one from being started again.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import sklearn.ensemble  # noqa: F401 - what all trainers import, once

from easeml.automl import __main__ as scheduler
from easeml.automl import trainer


def start(home: Path, bootstrap: str, partitions: str, name: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    log = os.open(home / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {
        "EASEML_INSTANCE": name,
        "EASEML_HOME": str(home / name),
        "EASEML_ARTIFACTS_URI": (home / "artifacts").as_uri(),
        "EASEML_BOOTSTRAP_SERVERS": bootstrap,
        "EASEML_PARTITIONS": partitions,
    }
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        (scheduler if name == "automl" else trainer).main()
    finally:
        os._exit(1)


def main() -> None:
    home, names = Path(sys.argv[1]), ["automl", *sys.argv[4:]]
    begin = [home, *sys.argv[2:4]]
    running = {name: start(*begin, name) for name in names}

    def stop(*_: object) -> None:
        for pid in running.values():
            os.kill(pid, signal.SIGKILL)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    while os.getppid() == parent:
        temporary = home / "pids.tmp"
        temporary.write_text(json.dumps(running))
        temporary.replace(home / "pids.json")
        time.sleep(0.1)
        pid, _ = os.waitpid(-1, os.WNOHANG)
        for name in [name for name, known in running.items() if known == pid]:
            del running[name]
            if not (home / f"gone-{name}").exists():
                running[name] = start(*begin, name)
    stop()


if __name__ == "__main__":
    main()
