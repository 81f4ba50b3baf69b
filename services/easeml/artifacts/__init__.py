"""What a model is once it is trained: its classes, its file format and the store of model files.

Training (``easeml.automl``) and serving (``easeml.serving``) meet here and nowhere else. A model file is a skops
archive of types on a frozen list; nothing is ever unpickled.
"""

from easeml.artifacts.classifier import Classifier
from easeml.artifacts.encoder import Encoder
from easeml.artifacts.models import FORMAT, dump, load, trimmed
from easeml.artifacts.store import ArtifactStore, Stored

__all__ = ["FORMAT", "ArtifactStore", "Classifier", "Encoder", "Stored", "dump", "load", "trimmed"]
