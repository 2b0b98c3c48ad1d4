#!/usr/bin/env bash
# The entry point of an image that is like those of the Jupyter Docker Stacks: what theirs does in a
# container that is not root, as far as it matters to what starts it.
set -e

echo "stacks: start.sh runs as $(id -un) with the arguments: $*"
[ $# -gt 0 ] || set -- bash
if [ "${_START_SH_EXECUTED:-}" = 1 ]; then
    echo "stacks: start.sh has run already"
    exec "$@"
fi
export _START_SH_EXECUTED=1

# shellcheck source=tests/cluster/stacks/usr/local/bin/run-hooks.sh
. run-hooks.sh /usr/local/bin/start-notebook.d

# Theirs ends here as well, and without a word, where the image's own user has no name.
image_uid=$(id -u jovyan 2>/dev/null)
image_gid=$(id -g jovyan 2>/dev/null)
if [ "$NB_USER" != jovyan ] && [ "$NB_USER" != "$(id -un)" ]; then
    echo "stacks: WARNING: NB_USER is $NB_USER"
fi
if [ "$NB_UID" != "$image_uid" ] && [ "$NB_UID" != "$(id -u)" ]; then
    echo "stacks: WARNING: NB_UID is $NB_UID"
fi
if [ "$NB_GID" != "$image_gid" ] && [ "$NB_GID" != "$(id -g)" ]; then
    echo "stacks: WARNING: NB_GID is $NB_GID"
fi

# shellcheck source=tests/cluster/stacks/usr/local/bin/run-hooks.sh
. run-hooks.sh /usr/local/bin/before-notebook.d
exec "$@"
