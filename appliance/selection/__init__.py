"""Which accelerator to trust: proved on known pictures, timed, remembered."""

from appliance.selection.proof import Layout, Proof, Prover
from appliance.selection.selector import Selection, Selector, Survey
from appliance.selection.store import ProofStore

__all__ = ["Layout", "Proof", "ProofStore", "Prover", "Selection", "Selector", "Survey"]
