"""``python -m jhk8s_ext.cli.prepull`` is ``jhk8s prepull``."""

import sys

from jhk8s_ext.cli.main import run

sys.argv[1:1] = ["prepull"]
run()
