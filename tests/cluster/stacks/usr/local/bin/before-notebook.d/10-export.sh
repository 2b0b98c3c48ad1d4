#!/usr/bin/env bash
STACKS_BEFORE="before-notebook.d as $(id -un), after: $STACKS_START"
export STACKS_BEFORE
