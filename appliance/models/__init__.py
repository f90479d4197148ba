"""Models: the catalogue, their files, checked before a native loader sees them."""

from appliance.models.catalogue import Catalogue, ModelEntry, find_models_folder
from appliance.models.model import Labels, Model

__all__ = ["Catalogue", "Labels", "Model", "ModelEntry", "find_models_folder"]
