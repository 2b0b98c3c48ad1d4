"""``python -m jhk8s_ext.cli.demo``, where the command is not on the path."""

from jhk8s_ext.cli.demo.command import demo

demo(prog_name="jhk8s demo")
