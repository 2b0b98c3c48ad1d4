#!/usr/bin/env bash
# Sourced with a folder as its argument: sources its .sh files and runs its programs.
for hook in "$1"/*; do
    case $hook in
        *.sh)
            # shellcheck source=/dev/null
            . "$hook" || echo "stacks: $hook has failed"
            ;;
        *)
            if [ -x "$hook" ]; then
                "$hook" || echo "stacks: $hook has failed"
            fi
            ;;
    esac
done
