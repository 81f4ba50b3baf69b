"""A file larger than the memory is read in parts: the process may address 1 GiB and holds far less."""

from __future__ import annotations

import json
import os
import subprocess
import sys

SCRIPT = """
import io, json, resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
import numpy as np
from easeml.datamagic.reading import read_sampled

LINE = ",".join(["{:09.4f}"] * 3 + ["{}"]) + ("," + "x" * 700)
BLOCK = "\\n".join(LINE.format(n / 7, n / 3, n * 1.5, "abc"[n % 3]) for n in range(4000)).encode() + b"\\n"
TIMES, HEAD = 105, b"a,b,c,kind,note\\n"


class Endless(io.RawIOBase):
    'A file that is made while it is read.'
    def __init__(self):
        self.at, self.rest = 0, HEAD
    def readable(self):
        return True
    def seekable(self):
        return True
    def tell(self):
        return 0
    def seek(self, offset, whence=0):
        assert (offset, whence) == (0, 0)
        self.at, self.rest = 0, HEAD
        return 0
    def readinto(self, buffer):
        if not self.rest and self.at < TIMES:
            self.at += 1
            self.rest = BLOCK
        part = self.rest[: len(buffer)]
        buffer[: len(part)] = part
        self.rest = self.rest[len(part) :]
        return len(part)

import easeml.datamagic.reading as reading
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sample = read_sampled(Endless(), name="big.csv", label="kind", rows=2000, rng=np.random.default_rng(0))
rows = total = 0
for relation in sample.relations(20_000):
    rows += len(relation)
    total += float(relation.block.numeric.sum())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": rows, "sampled": sample.rows, "size": TIMES * len(BLOCK), "grown": (peak - before) * 1024,
                  "classes": relation.classes, "columns": [c.kind for c in relation.columns]}))
"""


def test_bounded_memory_under_an_address_space_limit():
    # One thread: the stacks and arenas of others would count as address space.
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["rows"] == said["sampled"] == 4000 * 105
    assert said["size"] > 300e6
    assert said["grown"] < 280e6  # flat: 240 MB at 440 MB of file, 215 MB at 176 MB
    assert said["classes"] == ["a", "b", "c"]
    assert said["columns"] == ["numeric", "numeric", "numeric", "categorical"] or said["columns"][:3] == ["numeric"] * 3
