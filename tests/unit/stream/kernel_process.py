"""``python kernel_process.py <summer|merger|relay|worker|daring>``: a kernel test service as a process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kernel_services import Daring, Merger, Relay, Summer, Worker

from easeml.stream.main import run

if __name__ == "__main__":
    run({"summer": Summer, "merger": Merger, "relay": Relay, "worker": Worker, "daring": Daring}[sys.argv[1]]())
