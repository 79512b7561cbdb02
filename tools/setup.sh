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

# The pins of a section of requirements.txt.
pins() { awk -v section="$1" '/^## / { on = $2 ~ "^" section ":?$" } on' "$root/requirements.txt"; }

# Whether a folder of .deps holds what these sections of requirements.txt say.
holds() {
  local want
  want=$(for section in "${@:2}"; do pins "$section"; done | sha256sum)
  [ "$(cat "$deps/$1/stamp" 2> /dev/null)" = "$want" ]
}

# download SECTION...: the wheels, for CPython 3.11 whatever the Python, into .deps/wheels.
download() {
  local python version platforms=(--platform manylinux2014_x86_64)
  python=$(python_with_pip) || exit
  for version in {17..28}; do platforms+=(--platform "manylinux_2_${version}_x86_64"); done
  rm -rf "$deps/wheels"
  mkdir -p "$deps/wheels"
  for section in "$@"; do pins "$section"; done > "$deps/wheels/requirements.txt"
  logged "$python" -m pip download --require-hashes --no-deps --only-binary :all: \
    --disable-pip-version-check --no-cache-dir --python-version 311 "${platforms[@]}" \
    -r "$deps/wheels/requirements.txt" -d "$deps/wheels" ||
    fail "cannot fetch the wheels of requirements.txt: see .deps/setup.log"
}

# unpack FOLDER WHEEL [NAME...]: all of the wheel, or these files and folders.
unpack() {
  (cd "$1" && cmake -E tar xf "$2" -- "${@:3}") >> "$log" 2>&1 || fail "cannot unpack $2"
}

# put_in_place FOLDER SECTION...: .deps/FOLDER.part takes the place of .deps/FOLDER.
put_in_place() {
  for section in "${@:2}"; do pins "$section"; done | sha256sum > "$deps/$1.part/stamp"
  rm -rf "${deps:?}/$1" "$deps/wheels"
  mv "$deps/$1.part" "$deps/$1"
}

# oneDNN: include/ and lib/.
ensure_wheels() {
  holds onednn onednn && return
  say "fetching oneDNN 3.2 (35 MB)"
  local wheel part=$deps/onednn.part
  download onednn
  rm -rf "$part"
  mkdir -p "$part"
  for wheel in "$deps"/wheels/*.whl; do unpack "$part" "$wheel"; done
  cp -r "$part"/*.data/data/* "$part"
  rm -rf "$part"/*.data "$part"/*.dist-info
  # A wheel holds no links: the same 55 MB come three times.
  ln -sf libdnnl.so.3.2 "$part/lib/libdnnl.so.3"
  ln -sf libdnnl.so.3 "$part/lib/libdnnl.so"
  put_in_place onednn onednn
}

has_gpu() { compgen -G '/dev/nvidia[0-9]*' > /dev/null || nvidia-smi -L > /dev/null 2>&1; }

# Whether this tree has the part that launches CUDA kernels: without it nothing loads CUDA's wheels.
has_cuda_part() { compgen -G "$root/backends/libtorch/cuda/*.cpp" > /dev/null; }

# LibTorch, unless Torch_DIR names one: headers and the libraries that the CPU path loads; for the
# CUDA part those of CUDA to link where there is nvcc, and all that they load where there is a GPU.
ensure_libtorch() {
  [ -n "${Torch_DIR:-}" ] && return
  local lib=torch/lib wheel part=$deps/libtorch.part sections=(libtorch) size='540 MB'
  local names=(torch/include/ $lib/libc10.so $lib/libgomp.so.1 $lib/libtorch_cpu.so)
  if has_cuda_part && { command -v nvcc > /dev/null || has_gpu; }; then
    names+=($lib/libc10_cuda.so $lib/libtorch_cuda.so)
  fi
  if has_cuda_part && has_gpu; then
    sections+=(libtorch_gpu)
    names+=($lib/libcaffe2_nvrtc.so $lib/libtorch_nvshmem.so)
    size='2.4 GB, with the CUDA libraries'
  fi
  holds libtorch "${sections[@]}" && [ -e "$deps/libtorch/${names[-1]}" ] && return
  say "fetching LibTorch 2.11 ($size)"
  download "${sections[@]}"
  rm -rf "$part"
  mkdir -p "$part"
  for wheel in "$deps"/wheels/nvidia*.whl; do unpack "$part" "$wheel"; done
  unpack "$part" "$deps"/wheels/torch-*.whl "${names[@]}"
  rm -rf "$part"/*.dist-info
  put_in_place libtorch "${sections[@]}"
}

# configure PRESET: when there is no build of it yet, or a library has come since then; Ninja does
# it again for changes of CMakeLists.txt.
configure() {
  local built=$root/build/$1/build.ninja library
  if [ -f "$built" ]; then
    for library in onednn libtorch; do
      [ "$deps/$library/stamp" -nt "$built" ] && rm -f "$built"
    done
  fi
  [ -f "$built" ] && return
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

# set_up PRESET TARGET [libtorch]: everything from nothing, LibTorch when it is asked for; another
# set-up that is under way is waited for.
set_up() {
  mkdir -p "$deps"
  (
    if command -v flock > /dev/null; then
      flock -n 9 || { say "waiting for another set-up"; flock 9; }
    fi
    ensure_packages "${packages[@]}"
    ensure_wheels
    [ "${3:-}" = libtorch ] && ensure_libtorch
    configure "$1"
    build "$1" "$2"
  ) 9> "$deps/lock" || exit
}
