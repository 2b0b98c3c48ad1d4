"""``python -m jhk8s_ext.cli.doctor`` is ``jhk8s doctor``."""

import sys

from jhk8s_ext.cli.main import run

sys.argv[1:1] = ["doctor"]
run()
