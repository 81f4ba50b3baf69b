"""``python kernel_process.py <summer|merger|crasher>``: a kernel test service as a process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kernel_services import Merger, Summer

from easeml.stream.main import run

if __name__ == "__main__":
    run({"summer": Summer, "merger": Merger}[sys.argv[1]]())
