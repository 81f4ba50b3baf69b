"""The frozen list: every type that a model file may name, and the one way each may be built.

A node of a skops schema is a type and a loader. Trusting the pair is stricter than trusting the type: it keeps a file
from calling a trusted type with arguments that its own loader would never pass.
"""

from __future__ import annotations

_ARTIFACTS = "easeml.artifacts"

TRUSTED: dict[str, frozenset[str]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": frozenset({"builtins.str", "builtins.int", "numpy.float64", "numpy.int64"}),
    "NdArrayNode": frozenset({"numpy.ndarray", "numpy.float64", "numpy.int64", "numpy.uint64", "numpy.bool"}),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "LossNode": frozenset({"sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss._loss.CyHalfMultinomialLoss"}),
    "ObjectNode": frozenset({
        f"{_ARTIFACTS}.classifier.Classifier",
        f"{_ARTIFACTS}.compound.Pipeline",
        f"{_ARTIFACTS}.compound.Vote",
        f"{_ARTIFACTS}.encoder.Encoder",
        f"{_ARTIFACTS}.frozen.FrozenForest",
        f"{_ARTIFACTS}.frozen.FrozenLinear",
        f"{_ARTIFACTS}.frozen.FrozenNaiveBayes",
        f"{_ARTIFACTS}.frozen.FrozenTree",
        f"{_ARTIFACTS}.kernel.FrozenKernelMachine",
        f"{_ARTIFACTS}.steps.Clipped",
        f"{_ARTIFACTS}.steps.Products",
        f"{_ARTIFACTS}.steps.Projection",
        f"{_ARTIFACTS}.steps.Ranks",
        f"{_ARTIFACTS}.steps.Selection",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
        "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis",
        "sklearn.ensemble._forest.ExtraTreesClassifier",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_extraction.text.TfidfTransformer",
        "sklearn.feature_extraction.text.TfidfVectorizer",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.naive_bayes.GaussianNB",
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
        "sklearn.preprocessing._label.LabelBinarizer",
        "sklearn.preprocessing._label.LabelEncoder",
        "sklearn.svm._classes.LinearSVC",
        "sklearn.tree._classes.DecisionTreeClassifier",
        "sklearn.tree._classes.ExtraTreeClassifier",
    }),
}  # fmt: skip
"""Loader -> types it may build."""

TYPES: tuple[str, ...] = tuple(sorted(set().union(*TRUSTED.values())))
"""Every trusted type, for skops' own audit."""
