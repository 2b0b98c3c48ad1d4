"""``python -m jhk8s_ext.cli``, where the command is not on the path."""

from jhk8s_ext.cli.main import run

run()
