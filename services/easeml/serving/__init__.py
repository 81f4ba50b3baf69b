"""Scores rows with every live model, and predicts with the picked one.

Event in: ModelPublished, ModelRetired, ModelPicked, RelationBatch of test and production.
Event out: PredictionBatch, ModelRetired (a model that failed three batches in a row).
This is the only room that loads models; CI and the ModelPicker see predictions alone. A file that is not what was
announced never gets in (dead letter ``artifact``); a model that fails is left out of that batch only.
"""
