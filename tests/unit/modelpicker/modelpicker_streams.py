"""Made and recorded streams of votes, and a picker that plays them."""

import numpy as np

from easeml.modelpicker import ModelPicker


def picker(k=3, c=3, seed=0, **settings):
    return ModelPicker(k, c, **{"budget": 50, "horizon": 500} | settings, rng=np.random.default_rng(seed))


def stream(n, accuracies, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    wrong = (truth[:, None] + rng.integers(1, classes, size=(n, len(accuracies)))) % classes
    right = rng.random((n, len(accuracies))) < np.array(accuracies)
    return truth, np.where(right, truth[:, None], wrong)


def play(pick, votes, truth, rows=None):
    """Step through all rows, answer at once; return the served classes and the rows asked about, with their times."""
    served, asked = [], []
    for i in rows if rows is not None else range(len(votes)):
        decision = pick.step(votes[i], int(i))
        served.append(decision.prediction)
        for row in decision.query:
            asked.append((int(i), row))
            pick.answer(row, int(truth[row]))
    return np.array(served), asked


def reference(folder, name):
    """Return the votes and labels of a set of the reference data."""
    with np.load(folder / "modelpicker" / f"{name}.npz") as file:
        return file["predictions"].astype(int), file["labels"].astype(int)


def identifies(folder, name, rows, budget, seed, **settings):
    """Shuffle a set and play its first rows; return the picker, and whether it found the best model."""
    votes, truth = reference(folder, name)
    order = np.random.default_rng(seed).permutation(len(truth))[:rows]
    classes = max(int(votes.max()), int(truth.max())) + 1
    pick = picker(votes.shape[1], classes, seed, budget=budget, horizon=rows, **settings)
    play(pick, votes, truth, order)
    accuracy = (votes[order] == truth[order, None]).mean(axis=0)
    return pick, accuracy[pick.recommended] == accuracy.max()
