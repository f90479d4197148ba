"""What Home Assistant needs to find the unit by itself, and its cameras as devices of their own.

Keys and rules: the MQTT integration's device discovery (2024.11 and newer). Entities read the
topics that exist anyway; nothing is published for Home Assistant alone.
"""

from appliance.reports.homeassistant.devices import Discovery, discoveries

__all__ = ["Discovery", "discoveries"]
