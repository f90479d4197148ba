"""Heat policy: what throttling costs, and what to do before the firmware does. Pure, no clocks."""

from appliance.heat.episodes import Episode, EpisodeTracker, Transition
from appliance.heat.governor import Action, Governor, GovernorPolicy, Mode

__all__ = [
    "Action",
    "Episode",
    "EpisodeTracker",
    "Governor",
    "GovernorPolicy",
    "Mode",
    "Transition",
]
