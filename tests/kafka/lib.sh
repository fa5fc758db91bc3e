# Shared by fetch, up and down. Everything is below KAFKA_HOME; the jars lie in KAFKA_JARS and serve every cluster of the machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
home=${KAFKA_HOME:-$target/kafka/default}
jars=${KAFKA_JARS:-$target/kafka/jars}

die() { printf 'kafka/%s: %s\n' "${0##*/}" "$*" >&2; exit 69; }
alive() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }
# java_run CLASS ARGUMENT…
java_run() { java -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$jars/*" "$@"; }
