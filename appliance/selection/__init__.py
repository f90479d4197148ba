"""Which accelerator to trust: proved on known pictures, timed, remembered."""

from appliance.selection.layout_store import LayoutStore
from appliance.selection.proof import Proof, Prover
from appliance.selection.proof_store import ProofStore
from appliance.selection.ranking import Selection
from appliance.selection.selector import Selector, Survey
from appliance.selection.worker_layout import WorkerLayout

__all__ = [
    "LayoutStore",
    "Proof",
    "ProofStore",
    "Prover",
    "Selection",
    "Selector",
    "Survey",
    "WorkerLayout",
]
