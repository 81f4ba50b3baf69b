"""AutoML for one tenant: accuracy within CPU seconds, beside FLAML in the same run.

Eight data sets that ship in our dependencies, split 70/30 and stratified; the accuracy is that on the 30 % that no
search has seen. FLAML runs where another interpreter has it (``--peers PYTHON`` or EASEML_PEER_PYTHON), one thread,
metric accuracy, its budget counted in CPU seconds as ours is: its clock is that of its process.

    pip install "flaml[automl]==2.7.0" scikit-learn==1.9.1 lightgbm==4.7.0 xgboost==2.1.4    # an environment of its own
    python tests/benchmarks/bench_automl.py [--sets wine,iris] [--splits 10] [--first 0] [--seconds 10] [--peers PYTHON]
        [--peer-seconds 60] [--peer-splits 10] [--stream [--stream-splits 1]]

All of it takes 13 CPU minutes of ours and 80 of FLAML's. With ``--stream`` the same rows also go through DataMagic, the
scheduler and a trainer as processes on a broker: a twentieth of the 70 % is uploaded as validation rows, which no model
learns from, the others as training rows, whose folds choose the members of the committee; and of the models of the
algorithms that a new house announces the one that promises most (``easeml.automl.choice``) is judged on the 30 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import river.datasets
from figures import tell
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "automl"))

from automl_stream import AutoMLStreet
from house import PARTITIONS

from easeml.automl import announcements, fit
from easeml.automl.choice import preferred
from easeml.relation import Relation
from easeml.stream.payloads import Pillar

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


def streamed(street, app, frame, labels, rows, test, split):
    """Return the accuracy of the model that promises most, CPU seconds of its trial and of all, and its algorithm."""
    whole = frame.assign(**{"label!": labels.astype(str)})
    # Equal rows go to one pillar, as in an upload that is split; DataMagic refuses validation rows that are trained on.
    equal = frame.iloc[rows].groupby(list(frame)).ngroup()
    folds = StratifiedGroupKFold(20, shuffle=True, random_state=split).split(rows, labels[rows], equal)
    train, validation = (rows[places] for places in next(folds))
    pillars = {Pillar.TRAIN: whole.iloc[train], Pillar.VALIDATION: whole.iloc[validation]}
    chosen = preferred(street.train(app, "label!", pillars, announcements()).values())
    predicted = np.array(chosen.classes)[street.load(chosen).predict(frame.iloc[test])]
    spent = sum(end.cost_seconds for end in street.ended(app).values())
    own = chosen.metrics["cpu_seconds"]
    return float(np.mean(predicted == labels[test].astype(str))), own, spent, chosen.algorithm


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


def measure(name, options, street):
    """Return our, FLAML's and the stream's accuracies and CPU seconds, one row per split."""
    frame, labels = SETS[name]()
    mine, theirs, published = [], [], []
    for split in range(options.first, options.first + options.splits):
        rows, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=split, stratify=labels)
        mine.append(ours(frame, labels, rows, test, options.seconds))
        line = f"{name} split {split}: ours {mine[-1][0]:.4f} in {mine[-1][1]:.1f} CPU s ({mine[-1][2]})"
        if options.peers and len(theirs) < options.peer_splits:
            theirs.append(peer(options.peers, frame, labels, rows, test, options.peer_seconds, split))
            line += f", FLAML {theirs[-1][0]:.4f} in {theirs[-1][1]:.1f} CPU s ({theirs[-1][2]})"
        if street is not None and len(published) < options.stream_splits:
            published.append(streamed(street, f"{name}-{split}", frame, labels, rows, test, split))
            line += ", through the stream {:.4f} in {:.1f} of {:.1f} CPU s ({})".format(*published[-1])
        print(line, flush=True)
    return mine, theirs, published


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="data sets, separated by commas")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first split: choices are made on others than 0 to 9")
    parser.add_argument("--seconds", type=float, default=10.0, help="our CPU seconds per split")
    parser.add_argument("--peers", default=os.environ.get("EASEML_PEER_PYTHON", ""), help="interpreter with FLAML")
    parser.add_argument("--peer-seconds", type=float, default=60.0, help="FLAML's CPU seconds per split")
    parser.add_argument("--peer-splits", type=int, default=10, help="how many of the splits FLAML runs")
    parser.add_argument("--stream", action="store_true", help="also from upload to ModelPublished")
    parser.add_argument("--stream-splits", type=int, default=1, help="how many of the splits the stream runs")
    options = parser.parse_args()
    options.peers = options.peers if options.peers and has_flaml(options.peers) else ""
    budgets = f"ours {options.seconds:g} CPU s, FLAML {options.peer_seconds:g} CPU s per split"
    table = Table(title=f"mean accuracy (splits), {budgets}")
    for column in ("data set", "ours", "CPU s", "stream", "ours", "FLAML", "ours", "ours - FLAML", "bar"):
        table.add_column(column)
    with ExitStack() as running:
        street = None
        if options.stream:
            os.environ["EASEML_PARTITIONS"] = str(PARTITIONS)
            street = running.enter_context(AutoMLStreet(Path(running.enter_context(tempfile.TemporaryDirectory()))))
        for name in options.sets.split(","):
            found = measure(name, options, street)
            table.add_row(name, *cells_of(*found))
            tell_of(name, *found)
    Console(width=120).print(table)


def tell_of(name, mine, theirs, published):
    """Tell the mean accuracies of a data set, FLAML's as the peer."""
    flaml = np.mean([row[0] for row in theirs]) if theirs else np.nan
    for what, found in (("", mine), (" through the stream", published)):
        if found:
            paired = np.mean([row[0] for row in found[: len(theirs) or None]])
            told = f"{name}: accuracy within 10 CPU s{what}, mean of {len(found)} splits"
            tell(
                told,
                paired,
                "%",
                least=flaml - ALLOWANCE if theirs else None,
                peer=f"FLAML {100 * flaml:.2f} %" if theirs else "",
            )


def cells_of(mine, theirs, published):
    """Return the cells of a data set's row: ours on all splits, then beside whoever else ran on some of them."""
    accuracies = [row[0] for row in mine]
    cells = [f"{np.mean(accuracies):.4f} ({len(mine)})", f"{max(row[1] for row in mine):.1f}"]
    for others in (published, theirs):
        if others:
            cells.append(f"{np.mean([row[0] for row in others]):.4f} ({len(others)})")
            cells.append(f"{np.mean(accuracies[: len(others)]):.4f}")
        else:
            cells += ["not run", ""]
    if theirs:
        ahead = np.mean(accuracies[: len(theirs)]) - np.mean([row[0] for row in theirs])
        return [*cells, f"{ahead:+.4f}", f"-{ALLOWANCE}: {'held' if ahead >= -ALLOWANCE else 'MISSED'}"]
    return [*cells, "", f"-{ALLOWANCE}"]


if __name__ == "__main__":
    main()
