"""Which accelerator to trust: proved on known pictures, timed, remembered."""

from appliance.selection.layout import Layout
from appliance.selection.layouts import Layouts
from appliance.selection.proof import Proof, Prover
from appliance.selection.ranking import Selection
from appliance.selection.selector import Selector, Survey
from appliance.selection.store import ProofStore

__all__ = ["Layout", "Layouts", "Proof", "ProofStore", "Prover", "Selection", "Selector", "Survey"]
