"""AutoML for one tenant: accuracy within CPU seconds, beside FLAML in the same run.

Eight data sets that ship in our dependencies, split 70/30 and stratified; the accuracy is that on the 30 % that no
search has seen. FLAML runs where another interpreter has it (``--peers PYTHON`` or EASEML_PEER_PYTHON), one thread,
metric accuracy, its budget counted in CPU seconds as ours is: its clock is that of its process.

    pip install "flaml[automl]==2.7.0" scikit-learn==1.9.1 lightgbm==4.7.0 xgboost==2.1.4    # an environment of its own
    python tests/benchmarks/bench_automl.py [--sets wine,iris] [--splits 10] [--seconds 10] [--peers PYTHON]
        [--peer-seconds 60] [--peer-splits 10]

All of it takes 13 CPU minutes of ours and 80 of FLAML's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import river.datasets
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

from easeml.automl import fit
from easeml.relation import Relation

ALLOWANCE = 0.003
"""By how much our mean accuracy may be below FLAML's."""

FLAML = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
began = time.time()
time.time = lambda: began + time.process_time()
import pandas as pd
from flaml import AutoML
folder, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
kinds = json.load(open(folder + "/kinds.json"))
train, test = (pd.read_csv(f"{folder}/{part}.csv", dtype=kinds) for part in ("train", "test"))
labels, truth = train.pop("label!"), test.pop("label!")
spent = time.process_time()
search = AutoML()
search.fit(train, labels, task="classification", metric="accuracy", time_budget=seconds, n_jobs=1, seed=seed, verbose=0)
spent = time.process_time() - spent
accuracy = float((search.predict(test) == truth).mean())
print(json.dumps({"accuracy": accuracy, "seconds": spent, "best": search.best_estimator}))
"""


def from_sklearn(load):
    data = load()
    return pd.DataFrame(data.data, columns=[f"x{i}" for i in range(data.data.shape[1])]), data.target


def from_river(stream):
    rows = list(stream)
    return pd.DataFrame([row for row, _ in rows]).astype(float), np.array([str(label) for _, label in rows])


def solar_flare():
    """Whether a region of the sun has any C-class flare: ten categories about it."""
    frame = pd.read_csv(Path(river.datasets.__file__).parent / "solar-flare.csv.zip")
    label = np.where(frame.pop("c-class-flares") > 0, "flare", "none")
    return frame.drop(columns=["m-class-flares", "x-class-flares"]).astype(str), label


SETS = {
    "digits": lambda: from_sklearn(load_digits),
    "breast_cancer": lambda: from_sklearn(load_breast_cancer),
    "image_segments": lambda: from_river(river.datasets.ImageSegments()),
    "wine": lambda: from_sklearn(load_wine),
    "iris": lambda: from_sklearn(load_iris),
    "phishing": lambda: from_river(river.datasets.Phishing()),
    "bananas": lambda: from_river(river.datasets.Bananas()),
    "solar_flare": solar_flare,
}


def ours(frame, labels, rows, test, seconds):
    """Return the accuracy of the last candidate, CPU seconds, and what it is."""
    relation = Relation.from_frame(frame.assign(**{"label!": labels.astype(str)}), label="label!")
    search = fit(relation.take(rows), seconds)
    *_, best = search
    predicted = best.model.predict(relation.take(test).features())
    return float(np.mean(predicted == relation.labels[test])), search.spent, "+".join(best.members)


def peer(python, frame, labels, rows, test, seconds, seed):
    """Return FLAML's accuracy, CPU seconds and best estimator."""
    with tempfile.TemporaryDirectory() as folder:
        for part, places in (("train", rows), ("test", test)):
            whole = frame.iloc[places].assign(**{"label!": labels[places]})
            whole.to_csv(Path(folder, f"{part}.csv"), index=False)
        kinds = {name: "category" for name in frame if frame[name].dtype.kind != "f"}
        Path(folder, "kinds.json").write_text(json.dumps(kinds), encoding="utf-8")
        alone = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        command = [python, "-c", FLAML, folder, str(seconds), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
        if done.returncode:
            raise SystemExit(f"FLAML failed in {python}: {done.stderr.strip().splitlines()[-1]}")
        told = json.loads(done.stdout.strip().splitlines()[-1])
        return told["accuracy"], told["seconds"], told["best"]


def has_flaml(python):
    """Return whether an interpreter can run FLAML, and say so when it cannot."""
    done = subprocess.run([python, "-c", "import flaml.automl"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"FLAML is absent in {python}: {done.stderr.strip().splitlines()[-1]}")
    return not done.returncode


def measure(name, options):
    """Return our and FLAML's accuracies and CPU seconds, one row per split."""
    frame, labels = SETS[name]()
    mine, theirs = [], []
    for split in range(options.splits):
        rows, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=split, stratify=labels)
        mine.append(ours(frame, labels, rows, test, options.seconds))
        line = f"{name} split {split}: ours {mine[-1][0]:.4f} in {mine[-1][1]:.1f} CPU s ({mine[-1][2]})"
        if options.peers and split < options.peer_splits:
            theirs.append(peer(options.peers, frame, labels, rows, test, options.peer_seconds, split))
            line += f", FLAML {theirs[-1][0]:.4f} in {theirs[-1][1]:.1f} CPU s ({theirs[-1][2]})"
        print(line, flush=True)
    return mine, theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="data sets, separated by commas")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="our CPU seconds per split")
    parser.add_argument("--peers", default=os.environ.get("EASEML_PEER_PYTHON", ""), help="interpreter with FLAML")
    parser.add_argument("--peer-seconds", type=float, default=60.0, help="FLAML's CPU seconds per split")
    parser.add_argument("--peer-splits", type=int, default=10, help="how many of the splits FLAML runs")
    options = parser.parse_args()
    options.peers = options.peers if options.peers and has_flaml(options.peers) else ""
    budgets = f"ours {options.seconds:g} CPU s, FLAML {options.peer_seconds:g} CPU s per split"
    table = Table(title=f"mean accuracy (splits), {budgets}")
    for column in ("data set", "ours", "CPU s", "on FLAML's splits", "FLAML", "ours - FLAML", "bar"):
        table.add_column(column)
    for name in options.sets.split(","):
        mine, theirs = measure(name, options)
        accuracy = np.mean([row[0] for row in mine])
        cells = [name, f"{accuracy:.4f} ({len(mine)})", f"{max(row[1] for row in mine):.1f}"]
        if theirs:
            same = np.mean([row[0] for row in mine[: len(theirs)]])
            their = np.mean([row[0] for row in theirs])
            held = "held" if same >= their - ALLOWANCE else "MISSED"
            cells += [f"{same:.4f}", f"{their:.4f} ({len(theirs)})", f"{same - their:+.4f}", f"-{ALLOWANCE}: {held}"]
        else:
            cells += ["", "not run", "", f"-{ALLOWANCE}"]
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
