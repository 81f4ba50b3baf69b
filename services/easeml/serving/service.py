"""Serving on the stream: every live model scores every test and production row.

Event in: ModelPublished (load, score the backlog), RelationBatch of test and production (score with all models),
ModelRetired, ModelPicked, Verdict (a model that was judged and did not pass is scored no more). Event out:
PredictionBatch (at most 1,000 rows), ModelRetired.
A model's file is believed only after size, digest, types and signature were checked; otherwise its ModelPublished is
dead-lettered. A model that fails on a batch is left out of it, after three in a row it is retired; a batch on which
every model fails is dead-lettered itself. External models (empty URI) publish their own predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from easeml.artifacts import FORMAT, ArtifactStore
from easeml.errors import ArtifactError, Busy, Poison, UnavailableError
from easeml.ids import ModelId
from easeml.relation import Block, check_pillar, features, validate_batch
from easeml.serving.live import LiveModels, Model, Scored, Scores
from easeml.serving.rows import Backlog
from easeml.serving.state import ServingState, pack, picked, unpack
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import (
    AppDefined,
    ModelPicked,
    ModelPublished,
    ModelRetired,
    Pillar,
    PredictionBatch,
    RelationBatch,
    Verdict,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import DATA_PRODUCTION, DATA_TEST, MODELS, PICKS, PREDICTIONS, VERDICTS, Topic

LOOKBACK = 2000
"""Production rows that a model is shown when it joins: it is judged by the answers on them, which took time to come."""
FAILURES = 3
"""Batches in a row that a model may fail."""
MAX_ROWS = 1000
_MAX_BYTES = 600_000

_PILLARS = {DATA_TEST.name: Pillar.TEST, DATA_PRODUCTION.name: Pillar.PRODUCTION}


class ServingService(Service[ServingState]):
    """Scores rows with every live model.

    Parameters
    ----------
    store_uri : str
        Artifact store that the models lie in.
    max_artifact_bytes : int
        Larger models are refused.
    """

    name = "serving"

    def __init__(self, store_uri: str, max_artifact_bytes: int) -> None:
        self.live = LiveModels(ArtifactStore(store_uri, max_artifact_bytes))
        self.states: dict[str, ServingState] = {}
        """Newest state of each app, for the predict server to read."""
        self._backlogs: dict[tuple[str, Pillar], Backlog] = {}

    def table(self) -> tuple[On[ServingState], ...]:
        return (
            On(DATA_TEST, RelationBatch, fold=self._arrived, handle=self._score),
            On(DATA_PRODUCTION, RelationBatch, fold=self._arrived, handle=self._score),
            On(MODELS, ModelPublished, handle=self._published, risky=True),
            On(MODELS, ModelRetired, handle=self._retired),
            On(PICKS, ModelPicked, handle=self._picked),
            On(VERDICTS, Verdict, handle=self._judged),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (PREDICTIONS, MODELS, DATA_PRODUCTION)  # the predict server records rows

    def new_state(self, app: str) -> ServingState:
        self.states[app] = ServingState()
        return self.states[app]

    def pack(self, state: ServingState) -> Packed:
        return pack(state)

    def unpack(self, app: str, packed: Packed) -> ServingState:
        self.states[app] = unpack(packed)
        return self.states[app]

    def forget(self, app: str) -> None:
        state = self.states.pop(app, None)
        for model in state.models.values() if state is not None else ():
            self.live.drop(model)
        for pillar in _PILLARS.values():
            self._backlogs.pop((app, pillar), None)

    def needed(self, app: str, state: ServingState | None) -> Needs:
        del state
        return {topic: self._backlog(app, pillar).needed for topic, pillar in _PILLARS.items()}

    def _backlog(self, app: str, pillar: Pillar) -> Backlog:
        keep_last = LOOKBACK if pillar is Pillar.PRODUCTION else None
        return self._backlogs.setdefault((app, pillar), Backlog(keep_last))

    def _arrived(self, event: Event[RelationBatch]) -> None:
        pillar = _PILLARS[event.topic]
        check_pillar(event.data, pillar)
        self._backlog(event.app, pillar).add(event.id, event.data, event.offset)

    def _score(self, state: ServingState, event: Event[RelationBatch], ctx: Context) -> Iterable[Output]:
        state.see(ctx.app)
        validate_batch(event.data, ctx.app)
        if not state.models or not event.data.row_ids:
            return []
        block = Block.from_batch(event.data)
        scores = self._scores(state.models.values(), block, ctx.app)
        if not scores.good:
            raise Poison(
                f"All {len(scores.failed)} models failed on this batch: "
                + "; ".join(f"{model}: {reason}" for model, reason in list(scores.failed.items())[:5]),
                mend="Look for rows that no model can have seen; redrive the batch once a model can take them.",
                reason="prediction",
            )
        outputs: list[Output] = []
        for name, model in list(state.models.items()):
            if name in scores.good:
                model.failures = 0
                outputs += predictions(event.app, name, _PILLARS[event.topic], block.row_ids, scores.good[name])
                continue
            model.failures += 1
            if model.failures >= FAILURES:
                reason = f"It failed {FAILURES} batches in a row, last with {scores.failed[name]}"
                self._drop(state, name)
                outputs.append(Output(MODELS, ModelRetired(event.app, name, reason)))
        return outputs

    def _published(self, state: ServingState, event: Event[ModelPublished], ctx: Context) -> Iterable[Output]:
        announced = event.data
        ModelId(announced.model)
        state.see(ctx.app)
        if not announced.uri:
            return []  # an external model: it publishes its predictions itself
        if announced.format != FORMAT:
            raise ArtifactError(
                f"Model {announced.model!r} has the format {announced.format!r}.",
                mend=f"Publish a {FORMAT} file, or leave the URI empty and publish predictions.",
            )
        model = Model(
            announced.model,
            announced.uri,
            announced.sha256,
            announced.size,
            tuple(announced.columns),
            tuple(announced.classes),
        )
        check_signature(model, ctx.app)
        known = state.models.get(model.model)
        if known is not None:
            if known.sha256 == model.sha256:
                return []
            raise Poison(  # CI's verdict and the pick are about the file that had this name first
                f"Model {model.model!r} is published already with another file.",
                mend="Give a new model a new id.",
                reason="conflict",
            )
        try:
            self.live.load(model)
        except UnavailableError as error:
            raise Busy(error.message, mend=error.mend) from error
        outputs: list[Output] = []
        for pillar in _PILLARS.values():
            for block in self._backlog(event.app, pillar).blocks(ctx.app):
                scores = self._scores([model], block, ctx.app)
                if scores.failed:
                    self.live.drop(model)  # refused files must not push out the models that are asked
                    raise Poison(
                        f"Model {model.model!r} fails on {pillar} rows: {scores.failed[model.model]}.",
                        mend="Test the model on rows of the app before publishing it.",
                        reason="prediction",
                    )
                outputs += predictions(event.app, model.model, pillar, block.row_ids, scores.good[model.model])
        state.models[model.model] = model
        return outputs

    def _retired(self, state: ServingState, event: Event[ModelRetired], ctx: Context) -> Iterable[Output]:
        state.see(ctx.app)
        self._drop(state, event.data.model)
        return []

    def _picked(self, state: ServingState, event: Event[ModelPicked], ctx: Context) -> Iterable[Output]:
        state.see(ctx.app)
        state.pick = picked(event.data)
        return []

    def _judged(self, state: ServingState, event: Event[Verdict], ctx: Context) -> Iterable[Output]:
        state.see(ctx.app)
        if event.data.guaranteed and not event.data.signal:
            self._drop(state, event.data.model)  # it may never be picked: no more rows are worth its time
        return []

    def _drop(self, state: ServingState, name: str) -> None:
        model = state.models.pop(name, None)
        if model is not None:
            self.live.drop(model)

    def _scores(self, models: Iterable[Model], block: Block, app: AppDefined) -> Scores:
        try:
            return self.live.score(models, features(block), app.classes)
        except UnavailableError as error:
            raise Busy(error.message, mend=error.mend) from error


def check_signature(model: Model, app: AppDefined) -> None:
    """Check that a model's columns and classes are the app's.

    Raises
    ------
    Poison
        With the reason ``signature``.
    """
    have = {column.name for column in app.columns}
    for what, names, known in (("column", model.columns, have), ("class", model.classes, set(app.classes))):
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise Poison(
                f"Model {model.model!r} has the {what} {unknown[0] if unknown else ''!r}, which {app.app} has not.",
                mend=f"Train it on columns and classes of {app.app}.",
                reason="signature",
            )


def predictions(app: str, model: str, pillar: Pillar, row_ids: Sequence[str], scored: Scored) -> Iterator[Output]:
    """Yield the messages of one model's predictions: at most 1,000 rows and well below the size limit each."""
    per_row = 4 * (scored.probabilities.shape[1] + 1) + max(len(name.encode()) for name in row_ids) + 3
    size = max(1, min(MAX_ROWS, _MAX_BYTES // per_row))
    for start in range(0, len(row_ids), size):
        part = slice(start, start + size)
        yield Output(
            PREDICTIONS,
            PredictionBatch(
                app=app,
                model=model,
                pillar=pillar,
                row_ids=tuple(row_ids[part]),
                labels=scored.labels[part],
                probabilities=scored.probabilities[part].ravel(),
            ),
        )
