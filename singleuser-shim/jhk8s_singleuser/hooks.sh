# Takes hooks one after the other in one shell, bash where there is one, and tells of each.
#
#   sh -c "$(cat hooks.sh)" jhk8s-start DIRECTORY PYTHON TELL HOOK...
#
# PYTHON -I -S -c TELL INDEX STATUS HOW hands the number of the hook, its exit status and the
# environment as it is then to the shim, and fails where no further hook shall run. HOW is "returned",
# or "exited" where the hook has ended this shell.
#
# Nothing here is in a function that hooks are sourced in, where their `declare -x` would be local.
# shellcheck shell=sh
[ -z "$1" ] || cd "$1" || exit
_jhk8s_python=$2 _jhk8s_tell=$3 _jhk8s_index=-1 _jhk8s_hook=
shift 3

_jhk8s_tell() {
    "$_jhk8s_python" -I -S -c "$_jhk8s_tell" "$_jhk8s_index" "$1" "$2"
}

# A hook that has a trap of its own here is told of all the same, without its environment.
trap '_jhk8s_status=$?; [ -z "$_jhk8s_hook" ] || _jhk8s_tell "$_jhk8s_status" exited' EXIT

for _jhk8s_hook; do
    _jhk8s_index=$((_jhk8s_index + 1))
    set -- # a hook that looks at its arguments finds none
    case $_jhk8s_hook in
        *.sh)
            # shellcheck source=/dev/null
            . "$_jhk8s_hook"
            ;;
        *) "$_jhk8s_hook" ;;
    esac
    _jhk8s_status=$?
    set +e # a hook that has set -e has set it for itself
    _jhk8s_tell "$_jhk8s_status" returned || {
        _jhk8s_hook=
        exit "$_jhk8s_status"
    }
    _jhk8s_hook= # until here, whatever ends the shell is this one
done
