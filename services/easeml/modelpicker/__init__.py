r"""ModelPicker: the best model now, for as few labels as possible.

Event in: predictions on production rows, answers. Event out: questions, and the pick when it changes.
Formula: w proportional to exp(-eta L), question with probability max(s v, eta), L += 1[wrong]/u (Karimi et
al., AISTATS 2021). Guarantee: the budget is never exceeded; the loss estimates are unbiased whatever arrives
late or twice. Fails by ``InvalidDataError`` (unknown class, wrong number of votes) and ``NotFoundError``
(a row never asked about, a model that does not take part).
"""

from easeml.modelpicker.decision import Decision
from easeml.modelpicker.information import information_gain
from easeml.modelpicker.picker import ModelPicker

__all__ = ["Decision", "ModelPicker", "information_gain"]
