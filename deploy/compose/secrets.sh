#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts, once: what is there already stays. On the host only their owner gets into the folder; within a
# container a mounted file keeps its mode, and each image reads as another user (ours 10001, PostgreSQL's 999, Grafana's 472).
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# make NAME VALUE
make() {
  [ -e "secrets/$1" ] && return
  printf '%s' "$2" >"secrets/$1"
  chmod 444 "secrets/$1"
  printf 'made deploy/compose/secrets/%s\n' "$1"
}

make number_key "$(random)"         # seals phone numbers: another one makes every caller a new one
make postgres_password "$(random)"
make grafana_password "$(random)"
make ami_secret cti-secret          # the simulator's, known to everybody; of a real PBX: write its own here
