#!/bin/sh
# The two steps that make a Python into the hub's, here for the image and for the test bed.
#
#   install.sh dependencies REQUIREMENTS [PIP-OPTION...]
#   install.sh project WHEEL [PIP-OPTION...]
#
# $PIP is the command to install with, such as "python3.11 -m pip"; pip where it is unset.
set -eu

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[ $# -ge 2 ] || usage
step=$1
source=$2
shift 2

# $PIP is split on purpose: it is a command with its arguments.
# shellcheck disable=SC2086
case $step in
    dependencies) ${PIP:-pip} install --no-cache-dir --require-hashes "$@" -r "$source" ;;
    project) ${PIP:-pip} install --no-cache-dir --no-deps "$@" "$source" ;;
    *) usage ;;
esac
