#!/usr/bin/env bash
# A certificate authority of our own, and server certificates by it.
#
#   pki.sh DIR NAME SUBJECT-ALT-NAME...   for example: pki.sh /tmp/pki slapd DNS:localhost IP:127.0.0.1
#
# Writes DIR/ca.crt, DIR/ca.key (kept where they are there), DIR/NAME.crt and DIR/NAME.key.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
dir=$1 name=$2
shift 2

# Python 3.13 verifies strictly: an authority must state its key usage.
config="
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $(IFS=,; echo "$*")"

certify() { # FILE EXTENSIONS ARGUMENT...
    local file=$1 extensions=$2 messages
    shift 2
    messages=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 365 \
        -config <(echo "$config") -extensions "$extensions" -subj "/CN=test bed ${file##*/}" \
        -keyout "$file.key" -out "$file.crt" "$@" 2>&1) || { echo "$messages" >&2; exit 1; }
}

mkdir -p "$dir" # openssl makes key files readable by their owner only
[ -e "$dir/ca.crt" ] || certify "$dir/ca" authority
certify "$dir/$name" server -CA "$dir/ca.crt" -CAkey "$dir/ca.key"
