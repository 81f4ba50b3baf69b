"""Ease.ML in a notebook (extra ``notebook``): start a house, publish frames, look at cards, answer with buttons.

``tutorial.ipynb`` beside this module walks the eight steps on real data.
"""

from easeml.notebook.answering import Deck
from easeml.notebook.app import App
from easeml.notebook.cards import Card
from easeml.notebook.house import House

__all__ = ["App", "Card", "Deck", "House"]
