"""The probe: what this machine (or a saved, or a described one) is. Nothing here imports torch.

probe()                          the machine this process runs on
hardware_from_text("RTX 4090")   a saved profile or a machine in words
lookup("Tesla T4")               a card of the catalogue
installed_software()             versions of the training packages
"""

from advisor.probe.catalogue import Card, cards, lookup
from advisor.probe.describe import hardware_from_text
from advisor.probe.machine import probe
from advisor.probe.profile import hardware_to_json, load_profile, merge_profiles, save_profile, without_private
from advisor.probe.software import Software, installed_software

__all__ = [
    "Card",
    "Software",
    "cards",
    "hardware_from_text",
    "hardware_to_json",
    "installed_software",
    "load_profile",
    "lookup",
    "merge_profiles",
    "probe",
    "save_profile",
    "without_private",
]
