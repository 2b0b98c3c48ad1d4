#!/usr/bin/env bash
STACKS_START="start-notebook.d as $(id -un)"
export STACKS_START
