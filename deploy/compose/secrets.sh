#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts, once: what is there already stays. Read by nobody but the owner and the containers' user.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p secrets
chmod 711 secrets
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# make NAME VALUE
make() {
  [ -e "secrets/$1" ] && return
  printf '%s' "$2" >"secrets/$1"
  # a secret that is a file keeps its owner and mode within a container: the programs of the image run as 10001
  if [ "$(id -u)" = 0 ]; then chown 10001:10001 "secrets/$1" && chmod 400 "secrets/$1"; else chmod 444 "secrets/$1"; fi
  printf 'made deploy/compose/secrets/%s\n' "$1"
}

make number_key "$(random)"         # seals phone numbers: another one makes every caller a new one
make postgres_password "$(random)"
make grafana_password "$(random)"
make ami_secret cti-secret          # the simulator's, known to everybody; of a real PBX: write its own here
