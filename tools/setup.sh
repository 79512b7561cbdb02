# shellcheck shell=bash
# setup: a fresh Debian 12 -> the packages, the pinned wheels and a Release build. Sourced by
# ./expgraph and ./dev; all it says goes to stderr, the commands' own output to .deps/setup.log.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
log=$deps/setup.log
environment_missing=5  # exit code: see cli

packages=(g++ cmake ninja-build pkg-config git ca-certificates python3 python3-pip
  doctest-dev libarchive-dev libboost-dev libcli11-dev libcurl4-openssl-dev libeigen3-dev libfmt-dev
  libgraphviz-dev libhwy-dev libspng-dev libssl-dev libturbojpeg0-dev libyaml-cpp-dev
  nlohmann-json3-dev)

say() { printf 'expgraph: %s\n' "$*" >&2; }

fail() {
  say "$@"
  exit $environment_missing
}

# Runs a command with its output in the log; shows the end of it when the command fails.
logged() {
  printf '\n$ %s\n' "$*" >> "$log"
  "$@" >> "$log" 2>&1 < /dev/null && return
  tail -n 40 "$log" >&2
  return 1
}

# Prints those of the packages that are not installed.
missing_packages() {
  dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2> /dev/null |
    awk '$1 == "installed" { print $2 }' | sort > "$deps/installed"
  printf '%s\n' "$@" | sort | comm -23 - "$deps/installed"
  rm -f "$deps/installed"
}

ensure_packages() {
  command -v dpkg-query > /dev/null || fail "set-up knows Debian only; install by hand: $*"
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  missing=${missing% }
  [ -z "$missing" ] && return
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2> /dev/null ||
      fail "packages are missing; install them with:
  sudo apt-get install --no-install-recommends -y $missing"
    sudo=(sudo -n)
  fi
  say "installing packages: $missing"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
  logged "${apt[@]}" update || fail "apt-get update failed: see .deps/setup.log"
  # shellcheck disable=SC2086  # a list of names
  logged "${apt[@]}" install --no-install-recommends -y $missing ||
    fail "apt-get install failed: see .deps/setup.log"
}

# The first Python that has pip: the one on PATH may be without it.
python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version > /dev/null 2>&1 && echo "$python" && return
  done
  fail "no python3 with pip: install python3-pip"
}

# Unpacks the wheels of requirements.txt: include/ and lib/ of oneDNN.
ensure_wheels() {
  local want
  want=$(sha256sum < "$root/requirements.txt")
  [ "$(cat "$deps/stamp" 2> /dev/null)" = "$want" ] && [ -d "$deps/onednn" ] && return
  say "fetching oneDNN 3.2 (35 MB)"
  local python wheel part=$deps/onednn.part
  python=$(python_with_pip) || exit
  rm -rf "$part" "$deps/wheels" "$deps/onednn" "$deps/stamp"
  mkdir -p "$part" "$deps/wheels"
  logged "$python" -m pip download --require-hashes --no-deps --only-binary :all: \
    --disable-pip-version-check -r "$root/requirements.txt" -d "$deps/wheels" ||
    fail "cannot fetch the wheels of requirements.txt: see .deps/setup.log"
  for wheel in "$deps"/wheels/*.whl; do
    (cd "$part" && cmake -E tar xf "$wheel") || fail "cannot unpack $wheel"
  done
  cp -r "$part"/*.data/data/* "$part"
  rm -rf "$part"/*.data "$part"/*.dist-info "$deps/wheels"
  # A wheel holds no links: the same 55 MB come three times.
  ln -sf libdnnl.so.3.2 "$part/lib/libdnnl.so.3"
  ln -sf libdnnl.so.3 "$part/lib/libdnnl.so"
  mv "$part" "$deps/onednn"
  echo "$want" > "$deps/stamp"
}

# configure PRESET: only when there is no build of it yet; Ninja does it again when it must.
configure() {
  [ -f "$root/build/$1/build.ninja" ] && return
  say "configuring $1"
  mkdir -p "$root/build"
  (cd "$root" && logged cmake --preset "$1") || fail "configuration failed: see .deps/setup.log"
}

# build PRESET TARGET: with Ninja's progress on a terminal, else one line.
build() {
  local start=$SECONDS
  if [ -t 2 ]; then
    cmake --build "$root/build/$1" --target "$2" >&2 || exit 1
  else
    say "building $1 (all output in .deps/setup.log)"
    logged cmake --build "$root/build/$1" --target "$2" || exit 1
    say "built in $((SECONDS - start)) s"
  fi
  touch "$root/build/$1/.built-$2"
}

# set_up PRESET TARGET: everything from nothing; another set-up that is under way is waited for.
set_up() {
  mkdir -p "$deps"
  (
    if command -v flock > /dev/null; then
      flock -n 9 || { say "waiting for another set-up"; flock 9; }
    fi
    ensure_packages "${packages[@]}"
    ensure_wheels
    configure "$1"
    build "$1" "$2"
  ) 9> "$deps/lock" || exit
}
