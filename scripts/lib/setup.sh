# shellcheck shell=bash
# What scripts/reverie, scripts/test and scripts/format share: dependencies, configuring, building. Sourced by them.
#
# Reads from the environment
#   REVERIE_PRESET      a preset of CMakePresets.json (default release); built in build/<preset>
#   REVERIE_DEPS        folders, separated by colons, with a LibTorch, a MuJoCo, a Gymnasium, a dm_control or a plotly of
#                       one's own: a prefix, a folder that holds torch/ or libtorch/, mujoco/, gymnasium/, dm_control/,
#                       plotly/, or a Python environment
#   CMAKE_PREFIX_PATH   the same, as CMake takes it
#   REVERIE_CUDA        AUTO, ON or OFF
#   REVERIE_WERROR      ON: warnings in Reverie's own targets are errors
# and keeps what it gets from PyPI in ${XDG_CACHE_HOME:-$HOME/.cache}/reverie.
#
# Everything it says goes to stderr: stdout belongs to the program.
set -euo pipefail

say() { printf 'reverie: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --help of a script is the comment at its head; that of scripts/reverie is the program's.
if [[ ${1-} == --help && ${0##*/} != reverie ]]; then
  sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0"
  exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
preset=${REVERIE_PRESET:-release}
build=$root/build/$preset
[[ ${XDG_CACHE_HOME-}${HOME-} ]] || die "Set HOME or XDG_CACHE_HOME to a folder: what is downloaded is kept below it."
cache=${XDG_CACHE_HOME:-${HOME-}/.cache}/reverie
state=$build/setup  # what the build folder was configured with, written by configure()

# take_lock FILE WHAT: holds the lock until drop_lock or the end of this script.
take_lock() {
  local folder
  folder=$(dirname "$1")
  if ! { mkdir -p "$folder" && : >>"$1"; } 2>/dev/null; then
    die "$folder cannot be written.$([[ $folder != "$cache" ]] || echo " XDG_CACHE_HOME names another place for what is downloaded.")"
  fi
  exec 9>"$1"
  if ! flock --nonblock 9; then
    say "Waiting for another start that is $2."
    flock 9
  fi
}
drop_lock() { exec 9>&-; }

# quietly COMMAND...: its output is shown only where it fails.
quietly() {
  local output
  if ! output=$("$@" 9>&- 2>&1 </dev/null); then
    printf '%s\n' "$output" >&2
    die "Failed: $*"
  fi
}

# --- System packages -------------------------------------------------------------------------------------------------

install_packages() {
  local install="apt-get install -y --no-install-recommends $*" as_root=()
  if ! command -v apt-get >/dev/null; then
    die "Missing on this system, by their Debian names: $*. Install them with its package manager and start again."
  fi
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; then
      die "System packages are missing, and neither root nor sudo is at hand. Run this as root and start again:
  apt-get update && $install"
    fi
    as_root=(sudo)
    sudo -v || die "sudo refused. Run this as root and start again: apt-get update && $install"
  fi
  take_lock "$cache/lock" "installing packages"
  say "Installing system packages: $*"
  quietly "${as_root[@]}" apt-get -qq update
  # shellcheck disable=SC2086
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 ${install#apt-get }
  drop_lock
}

# have_header HEADER: in the compiler's usual folders or in one the user named.
have_header() {
  local folder
  for folder in /usr /usr/local "${prefixes[@]}"; do
    [[ -e $folder/include/$1 ]] && return
  done
  return 1
}

# have_library FILE: in one of the system's folders.
have_library() { compgen -G "/usr/lib/*/$1" >/dev/null || compgen -G "/usr/lib*/$1" >/dev/null; }

# A Python that can make virtual environments.
find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3 python3.{14,13,12,11}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      return
    fi
  done
  return 1
}

# What is there and too old is not made newer by installing the distribution's package.
refuse_what_is_too_old() {
  local least version
  if command -v cmake >/dev/null; then
    least=$(sed -n 's/^cmake_minimum_required(VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
    version=$(cmake --version | sed -n '1s/^cmake version //p')
    if [[ $(printf '%s\n' "$least" "$version" | sort -V | head -n 1) != "$least" ]]; then
      die "cmake is $version; $least or newer is needed, which Ubuntu 22.04 does not have. Install one, as with
  python3 -m pip install --user cmake
put its folder (\$HOME/.local/bin) first on PATH and start again."
    fi
  fi
  if ! find_python && command -v python3 >/dev/null &&
    ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    die "python3 is $(python3 --version 2>&1); Python 3.11 or newer is needed. On Ubuntu 22.04 run
  apt-get install python3.11-venv
as root, elsewhere put a newer python3 first on PATH, and start again."
  fi
}

# ensure_packages [tests]
ensure_packages() {
  local missing=()
  refuse_what_is_too_old
  command -v cmake >/dev/null || missing+=(cmake)
  command -v ninja >/dev/null || missing+=(ninja-build)
  command -v "${CXX:-c++}" >/dev/null || missing+=(g++)
  have_header yaml-cpp/yaml.h || missing+=(libyaml-cpp-dev)
  have_header spdlog/spdlog.h || missing+=(libspdlog-dev)
  have_header Eigen/Core || have_header eigen3/Eigen/Core || missing+=(libeigen3-dev)
  have_header xxhash.h || missing+=(libxxhash-dev)
  have_header microhttpd.h || missing+=(libmicrohttpd-dev)
  have_header CLI/CLI.hpp || missing+=(libcli11-dev)
  have_header nlohmann/json.hpp || missing+=(nlohmann-json3-dev)
  if [[ ${1-} == tests ]]; then
    have_header gtest/gtest.h || missing+=(libgtest-dev)
    have_header gmock/gmock.h || missing+=(libgmock-dev)
    have_header benchmark/benchmark.h || missing+=(libbenchmark-dev)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v ffmpeg >/dev/null || missing+=(ffmpeg)
    have_library libEGL_mesa.so.0 || missing+=(libegl1 libgl1-mesa-dri)
    command -v sbatch >/dev/null || missing+=(slurm-wlm)
  fi
  python=
  find_python || missing+=(python3-venv)
  if ((${#missing[@]})); then
    install_packages "${missing[@]}"
    refuse_what_is_too_old
  fi
  find_python || die "Python 3.11 or newer with venv is needed."
}

# --- Packages from PyPI, or the user's own ---------------------------------------------------------------------------

# Sets `prefixes`: the user's own folders, as CMake's find modules take them.
find_prefixes() {
  local list folder candidate
  prefixes=()
  IFS=':;' read -ra list <<<"${REVERIE_DEPS-}:${CMAKE_PREFIX_PATH-}"
  for folder in "${list[@]}"; do
    [[ -n $folder ]] || continue
    if [[ ! -d $folder ]]; then
      [[ ${CMAKE_PREFIX_PATH-} == *"$folder"* ]] || die "REVERIE_DEPS names $folder, which is not a folder."
      continue
    fi
    folder=$(cd "$folder" && pwd)
    for candidate in "$folder" "$folder"/{torch,libtorch,mujoco,gymnasium,dm_control,plotly} \
      "$folder"/lib/python3*/site-packages/{torch,mujoco,gymnasium,dm_control,plotly}; do
      [[ ! -d $candidate ]] || prefixes+=("$candidate")
    done
  done
}

# named FILE: whether one of the user's folders has it.
named() {
  local folder
  for folder in "${prefixes[@]}"; do
    [[ -e $folder/$1 ]] && return
  done
  return 1
}

# needed_requirements FILE: prints the lines of third_party/FILE that the user has not named.
needed_requirements() {
  local line
  while read -r line; do
    case $line in
      '' | '#'*) ;;
      torch==*) named include/torch/csrc/api/include/torch/torch.h || echo "$line" ;;
      mujoco==*) named include/mujoco/mujoco.h || echo "$line" ;;
      plotly==*) named package_data/plotly.min.js || echo "$line" ;;
      gymnasium==*) named envs/mujoco/assets/half_cheetah.xml || echo "$line" ;;
      dm-control==*) named suite/ball_in_cup.xml || echo "$line" ;;
      *) echo "$line" ;;
    esac
  done <"$root/third_party/$1"
}

site_packages() { printf '%s\n' "$1"/lib/python3*/site-packages; }

# make_environment NAME WHAT SITE_FOLDERS PIP_ARGUMENTS...: a virtual environment that also sees SITE_FOLDERS (one a
# line). It counts once the file `complete` is in it, which is written last.
make_environment() {
  local folder=$cache/$1 what=$2 sites=$3
  shift 3
  [[ ! -e $folder/complete ]] || return 0
  take_lock "$cache/lock" "installing packages"
  if [[ ! -e $folder/complete ]]; then
    say "Installing $what from PyPI into $folder."
    rm -rf "$folder"
    quietly "$python" -m venv "$folder"
    if [[ -n $sites ]]; then
      printf '%s\n' "$sites" >"$(site_packages "$folder")/reverie-base.pth"
    fi
    quietly "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    touch "$folder/complete"
  fi
  drop_lock
}

digest() { sha256sum | cut -c 1-16; }

# ensure_dependencies [tests]
#
# Sets `deps` and `model_files` to the environments the build uses, the second one for dm_control's files alone; each is
# empty where the user named what is in it.
ensure_dependencies() {
  local requirements files version site
  requirements=$(needed_requirements requirements.txt)
  files=$(needed_requirements requirements-files.txt)
  deps='' model_files=''
  version=$("$python" -c 'import platform; print(platform.python_version_tuple()[:2], platform.machine())')
  if [[ -n $requirements ]]; then
    deps=deps-$(printf '%s\n' "$requirements" "$version" | digest)
    # shellcheck disable=SC2086,SC2116
    make_environment "$deps" "$(echo $requirements) (4 GB, some minutes, once)" "" $requirements
    deps=$cache/$deps
    site=$(site_packages "$deps")
    prefixes+=("$site/torch" "$site/mujoco" "$site/gymnasium" "$site/plotly")
  fi
  if [[ -n $files ]]; then
    model_files=files-$(printf '%s\n' "$files" "$version" | digest)
    # In a shell of its own, which is what a failure ends. Who named all else may be where PyPI is not.
    # shellcheck disable=SC2086,SC2116
    if (make_environment "$model_files" "$(echo $files) (56 MB, once)" "" --no-deps $files); then
      model_files=$cache/$model_files
      prefixes+=("$(site_packages "$model_files")/dm_control")
    elif [[ -n $requirements || ${1-} == tests ]]; then
      exit 1
    else
      model_files=''
      say "Going on without the model files of dm_control's suite: its tasks will say what they miss. To have them, name" \
        "a folder with dm_control/ in REVERIE_DEPS, or delete $state to try again."
    fi
  fi
}

# Sets `test_python`: an interpreter that sees what the build uses and what only tests need.
ensure_test_environment() {
  local sites folder name version
  sites=$(for folder in "${prefixes[@]}"; do
    [[ ! -e $folder/__init__.py ]] || dirname "$folder"
  done | sort -u)
  version=$("$python" --version)
  name=test-$( (cat "$root"/third_party/requirements{,-test}.txt && printf '%s\n' "$version" "$sites") | digest)
  make_environment "$name" "what the tests need" "$sites" \
    --requirement "$root/third_party/requirements.txt" --requirement "$root/third_party/requirements-test.txt"
  test_python=$cache/$name/bin/python
}

# --- Configuring and building ----------------------------------------------------------------------------------------

# Everything that a build folder's configuration depends on and Ninja does not watch.
inputs() {
  (cat "$root"/third_party/requirements{,-files}.txt "$root/CMakePresets.json" "${BASH_SOURCE[0]}" &&
    printf '%s\n' "$root" "$cache" "${REVERIE_DEPS-}" "${CMAKE_PREFIX_PATH-}" "${REVERIE_CUDA-}" "${REVERIE_WERROR-}" \
      "${CXX-}" "${CXXFLAGS-}") | digest
}
test_inputs() { (inputs && cat "$root/third_party/requirements-test.txt") | digest; }

# configured [tests]: whether the build folder is as configure would leave it. Fast: this is all that a start with
# nothing to do pays for, beside Ninja's look at the files.
configured() {
  local known_inputs known_tests known_deps known_files
  [[ -e $build/build.ninja && -e $state ]] || return 1
  { read -r known_inputs && read -r known_tests && read -r known_deps && read -r known_files; } <"$state" ||
    return 1
  [[ $known_inputs == "$(inputs)" ]] || return 1
  [[ $known_deps == none || -e $known_deps/complete ]] || return 1
  [[ $known_files == none || -e $known_files/complete ]] || return 1
  if [[ ${1-} == tests ]]; then
    [[ $known_tests == "$(test_inputs)" && -x $(test_python_of_build) ]] || return 1
  fi
}

test_python_of_build() { sed -n 's/^REVERIE_TEST_PYTHON:FILEPATH=//p' "$build/CMakeCache.txt"; }

# configure [tests]
configure() {
  local arguments=() prefix_path
  find_prefixes
  ensure_packages "$@"
  ensure_dependencies "$@"
  if [[ ${1-} == tests ]]; then
    ensure_test_environment
    arguments+=(-DREVERIE_TESTS=ON "-DREVERIE_TEST_PYTHON=$test_python")
  else
    arguments+=(-DREVERIE_TESTS=OFF)
  fi
  [[ -z ${REVERIE_CUDA-} ]] || arguments+=("-DREVERIE_CUDA=$REVERIE_CUDA")
  [[ -z ${REVERIE_WERROR-} ]] || arguments+=("-DREVERIE_WERROR=$REVERIE_WERROR")
  prefix_path=$(IFS=';' && echo "${prefixes[*]}")
  take_lock "$root/build/lock" "building"
  if configured "$@"; then
    drop_lock
    return
  fi
  say "Configuring build/$preset."
  rm -f "$state"
  (cd "$root" && quietly cmake --fresh --preset "$preset" "-DCMAKE_PREFIX_PATH=$prefix_path" "${arguments[@]}")
  printf '%s\n' "$(inputs)" "$([[ ${1-} != tests ]] || test_inputs)" "${deps:-none}" "${model_files:-none}" >"$state"
  drop_lock
}

# As many compilers at once as there are cores and 2 GB of memory each.
jobs_at_once() {
  awk -v cores="$(nproc)" '/^MemAvailable/ { fit = int($2 / 2e6) } END { print fit < 1 ? 1 : fit < cores ? fit : cores }' \
    /proc/meminfo
}

progress_every=30  # seconds from one line to the next where they go to a file

# A number of seconds, roughly.
about() { if (($1 < 100)); then echo "$((($1 + 9) / 10 * 10)) s"; else echo "$((($1 + 30) / 60)) min"; fi; }

# show_progress FILES: reads what Ninja prints with the status "\001", and says how many of FILES are compiled and when
# the rest will be, if it goes on as so far: in a line that is rewritten on a terminal, else in a line now and then. What
# else Ninja and the compilers say is passed on.
show_progress() {
  local files=$1 built=0 end=0 start=$SECONDS next=0 line='' part status now text wipe=''
  [[ ! -t 2 || ${TERM:-dumb} == dumb ]] || wipe=$'\r\033[K'
  while true; do
    status=0
    IFS= read -r -t 1 part || status=$?
    line+=$part
    now=$((SECONDS - start))
    if ((status <= 128)); then  # not the end of the second
      [[ $status == 0 || -n $line ]] || break
      case $line in
        $'\001Building '*) built=$((built + 1)) end=$((now * files / built)) ;;
        $'\001'* | 'ninja: Entering directory '*) ;;
        *) printf '%s%s\n' "$wipe" "$line" >&2 ;;
      esac
      line=
    fi
    text="$built of $files files are compiled"
    if ((built < files && built > 2)); then
      text+=", about $(about $((end - now > 10 ? end - now : 10))) left"
    fi
    if [[ $wipe ]]; then
      printf '%sreverie: %s' "$wipe" "$text" >&2
    elif ((now >= next && built < files)); then
      say "$text"
      next=$((now + progress_every))
    fi
  done
  printf '%s' "$wipe" >&2
}

# build [TARGET...]: silent where nothing is to do.
build() {
  local files
  take_lock "$root/build/lock" "building"
  if ! ninja -C "$build" -n "$@" 2>/dev/null 9>&- | grep -q 'no work to do'; then
    quietly ninja -C "$build" build.ninja  # CMake's talk, where it runs again
    files=$(ninja -C "$build" -n "$@" 9>&- | grep -c '^\[.*\] Building ' || true)
    say "Building build/$preset."
    NINJA_STATUS=$'\001' ninja -C "$build" -j "$(jobs_at_once)" "$@" 2>&1 9>&- </dev/null | show_progress "$files" ||
      die "The build failed."
  fi
  drop_lock
}
