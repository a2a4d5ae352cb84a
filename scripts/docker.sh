#!/bin/sh
# Docker on a bare Debian machine, as root: scripts/docker.sh start|stop
#
# For continuous integration and contributors' machines that have none.  A daemon that answers is
# used as it is; `stop` ends only what `start` began.  Compose v2 comes along where it is missing.
set -eu
state=${MESH_LAB_DOCKER_STATE:-/run/mesh-lab-docker}
here=$(cd "$(dirname "$0")" && pwd)

alive() { [ -n "${1:-}" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = dockerd ]; }
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_engine() {
    rule=/usr/sbin/policy-rc.d  # the package must not start services by itself
    [ -e "$rule" ] && kept=yes || kept=
    [ -n "$kept" ] || { printf '#!/bin/sh\nexit 101\n' >"$rule" && chmod +x "$rule"; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        docker.io iptables ca-certificates debootstrap >/dev/null
    [ -n "$kept" ] || rm -f "$rule"
}

case ${1:-start} in
start)
    if ! answers; then
        command -v dockerd >/dev/null || install_engine
        mkdir -p "$state" && chmod 700 "$state"
        setsid dockerd --pidfile "$state/dockerd.pidfile" >"$state/dockerd.log" 2>&1 </dev/null &
        pid=$!
        echo "$pid" >"$state/pid"
        tries=0
        until answers; do
            tries=$((tries + 1))
            if { ! alive "$pid" && [ "$tries" -gt 5 ]; } || [ "$tries" -gt 600 ]; then
                echo "dockerd does not run:" >&2
                tail -n 20 "$state/dockerd.log" >&2
                exit 1
            fi
            sleep 0.2
        done
        echo "Docker $(docker version --format '{{.Server.Version}}') runs (process $pid)"
    fi
    docker compose version >/dev/null 2>&1 || sh "$here/compose-plugin.sh"
    ;;
stop)
    pid=$(cat "$state/pid" 2>/dev/null || true)
    alive "$pid" || { echo "there is no Docker of ours to stop"; exit 0; }
    kill -TERM "$pid"
    tries=0
    while alive "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -lt 150 ] || { echo "Docker (process $pid) still runs" >&2; exit 1; }
        sleep 0.2
    done
    rm -f "$state/pid"
    echo "stopped $pid"
    ;;
*)
    echo "usage: scripts/docker.sh start|stop" >&2
    exit 2
    ;;
esac
