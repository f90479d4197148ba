"""Models: the catalogue, their files, checked before a native loader sees them."""

from appliance.models.catalogue import AUTO, Catalogue
from appliance.models.files import find_models_folder
from appliance.models.manifest import ModelEntry
from appliance.models.model import Labels, Model, Vocabulary

__all__ = ["AUTO", "Catalogue", "Labels", "Model", "ModelEntry", "Vocabulary", "find_models_folder"]
