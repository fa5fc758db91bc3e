# Shared by fetch, up, down and console: where one PBX lives and which ports it takes.
#
#   PBX_BASE   first of the 2000 ports of this PBX (default 15000): AMI is PBX_BASE+38, SIP PBX_BASE+60, RTP PBX_BASE+1000 to +1898
#   PBX_ROOT   the unpacked Asterisk, shared by every PBX of this machine
#   PBX_HOME   configuration, logs and records of this PBX
#   PBX_SUITES releases of the distribution to look in, first hit wins
#
# No host name is written here: packages come from the mirror that this machine's own apt uses.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-${here%/tests/pbx}/target}
PBX_BASE=${PBX_BASE:-15000}
PBX_ROOT=${PBX_ROOT:-$target/pbx/root}
PBX_HOME=${PBX_HOME:-$target/pbx/$PBX_BASE}
ami_port=$((PBX_BASE + 38))
sip_port=$((PBX_BASE + 60))
pid_file=$PBX_HOME/asterisk.pid

die() { echo "tests/pbx: $*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
running() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }

# Asterisk from another release needs that release's libc: its own loader runs it, and the host stays as it is.
asterisk() {
  local loader='' dir path=''
  for dir in "$PBX_ROOT"/usr/lib/*-linux-gnu "$PBX_ROOT"/lib/*-linux-gnu "$PBX_ROOT"/usr/lib; do
    [ -d "$dir" ] && path=$path${path:+:}$dir
  done
  for dir in "$PBX_ROOT"/usr/lib/*-linux-gnu/ld-linux-*.so.* "$PBX_ROOT"/usr/lib64/ld-linux-*.so.* "$PBX_ROOT"/lib/*-linux-gnu/ld-linux-*.so.*; do
    [ -f "$dir" ] && { loader=$dir; break; }
  done
  [ -n "$loader" ] || die "no Asterisk under $PBX_ROOT: run tests/pbx/fetch"
  exec "$loader" --library-path "$path" "$PBX_ROOT/usr/sbin/asterisk" -C "$PBX_HOME/etc/asterisk.conf" "$@"
}
