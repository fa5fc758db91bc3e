# Shared by script/up and script/test: sets a fresh Debian or Ubuntu machine up, and says what it does.
# Sourced with the number of steps to come in $steps.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
target=${CARGO_TARGET_DIR:-$top/target}
export PATH=$PATH:$HOME/.cargo/bin
step=0

say() { printf '%s\n' "$*"; }
die() { printf '\n%s: %s\n' "${0##*/}" "$*" >&2; exit 69; }
next() { step=$((step + 1)); printf '[%d/%d] %s\n' "$step" "$steps" "$*"; }

need_debian() {
  local id='' like=''
  # shellcheck disable=SC1091
  [ -r /etc/os-release ] && { id=$(. /etc/os-release; echo "${ID:-}") like=$(. /etc/os-release; echo "${ID_LIKE:-}"); }
  case " $id $like " in
    *' debian '* | *' ubuntu '*) command -v apt-get >/dev/null && return ;;
  esac
  die "this script sets up Debian and Ubuntu, and this is ${id:-$(uname -s)}.
Elsewhere: install a C and a C++ compiler, make, pkg-config, the headers of OpenSSL and Rust $(rust_wanted) or newer, then run
  cargo run -p tidegate -- up        (the platform, fed by its simulator)
  cargo test --workspace --exclude tidegate-tests        (all tests but those that need a real Asterisk)"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "needs root for: $* (run it as root, or install sudo)"
  fi
}

# need_packages COMMAND=PACKAGE…: installs the package of every command (or file, if it begins with /) that is missing.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    case ${pair%%=*} in
      /*) [ -e "${pair%%=*}" ] && continue ;;
      *) command -v "${pair%%=*}" >/dev/null && continue ;;
    esac
    missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] && return
  say "      installing ${missing[*]}"
  as_root apt-get -qq update >/dev/null || die "apt-get update failed: is there a network, and does apt on this machine have a working source?"
  local said
  said=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" 2>&1) ||
    die "apt could not install ${missing[*]}:
$said"
}

# What every build needs. Certificates: cargo and rustup trust nothing without them. OpenSSL: the client of Kafka knows no other TLS.
need_tools() {
  need_debian
  need_packages cc=build-essential git=git /etc/ssl/certs/ca-certificates.crt=ca-certificates pkg-config=pkg-config /usr/include/openssl/ssl.h=libssl-dev
}

# need_disk GIB: so much room for what is built, unless it is built already: a full disk shows itself as errors of whatever writes first.
need_disk() {
  [ -d "$target/debug/deps" ] && return
  local free
  mkdir -p "$target"
  free=$(($(df --output=avail -k "$target" | tail -n 1) / 1048576))
  [ "$free" -ge "$1" ] || die "$target has room for $free GiB, and what is built there needs $1: make room, or set CARGO_TARGET_DIR to a larger disk"
}

rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }
rust_found() { cargo --version 2>/dev/null | cut -d' ' -f2; }
enough() { [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | sed -n 1p)" = "$1" ]; }

# need_rust [COMPONENT…]: a toolchain that is new enough, by rustup if there is none.
need_rust() {
  local wanted component
  wanted=$(rust_wanted)
  if ! enough "$wanted" "$(rust_found)"; then
    if ! command -v rustup >/dev/null; then
      if apt-cache policy rustup 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null; then
        need_packages rustup=rustup
      else
        say '      installing rustup by its own installer (this release of the distribution has no package of it)'
        need_packages curl=curl
        curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none >/dev/null 2>&1 ||
          die "rustup could not be installed: install Rust $wanted or newer by hand (https://rustup.rs), then run this again"
      fi
    fi
    say "      installing Rust $wanted"
    rustup toolchain install "$wanted" --profile minimal || die "rustup could not fetch Rust $wanted"
    export RUSTUP_TOOLCHAIN=$wanted
    enough "$wanted" "$(rust_found)" || die "cargo is still ${wanted:+older than $wanted}: $(command -v cargo || echo none found)"
  fi
  for component in "$@"; do
    "cargo-$component" --version >/dev/null 2>&1 && continue
    say "      installing cargo $component"
    rustup component add "${component/fmt/rustfmt}" || die "cargo $component is missing, and rustup could not add it"
  done
  say "      Rust $(rust_found)"
}
