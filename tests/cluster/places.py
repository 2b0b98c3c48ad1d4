"""Where the test bed keeps things, and the address its servers listen on."""

import os
from pathlib import Path

BED = Path(__file__).resolve().parent
PROJECT = BED.parent.parent

STATE = Path(os.environ.get("JHK8S_BED_STATE", "/var/tmp/jhk8s-bed"))
CACHE = Path(os.environ.get("JHK8S_BED_CACHE", Path.home() / ".cache/jhk8s-bed"))
HOMES = Path(os.environ.get("JHK8S_BED_HOMES", "/srv/jhk8s"))

BED_FILE = STATE / "bed.json"

# The node's bridge: pods reach the host at this address, the outside world does not.
HOST_IP = "10.88.0.1"
