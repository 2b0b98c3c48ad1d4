#!/usr/bin/env bash
# What the test bed needs from Debian.
#
#   debian.sh install PACKAGE...   install those that are missing, their services kept from starting
#   debian.sh mirror               print the Debian mirror this machine is configured with
set -euo pipefail
export LC_ALL=C.UTF-8

install() {
    local missing=() p
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "debian: installing ${missing[*]}" >&2
    # etcd, slapd and the registry come with system services, which would start
    # beside the bed's own. Debian asks policy-rc.d before it starts one.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local options=(-qq -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
    apt-get update "${options[@]}" </dev/null
    apt-get install -y "${options[@]}" --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

mirror() {
    local sources=() f found
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -e "$f" ] || sources+=("$f")
    done
    found=$(sed -nE 's|^[^#]*(https?://[^ ]+/debian)/?( .*)?$|\1|p' "${sources[@]}" | head -1)
    [ -n "$found" ] || { echo "debian: no Debian mirror is configured in /etc/apt" >&2; exit 1; }
    echo "$found"
}

case "${1:-}" in
    install) shift; install "$@" ;;
    mirror) mirror ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
