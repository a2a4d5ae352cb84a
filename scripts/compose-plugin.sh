#!/bin/sh
# Installs the Compose v2 plugin on Debian, for this user: the package where there is one, else
# (Debian 12 has none) the file out of Debian 13's package, without adding Debian 13 to the system.
set -eu
target=${DEST:-$HOME/.docker/cli-plugins}

if apt-get install -y -qq --no-install-recommends docker-compose-v2 >/dev/null 2>&1 ||
    apt-get install -y -qq --no-install-recommends docker-compose-plugin >/dev/null 2>&1; then
    exit 0
fi
# The mirror that this machine uses already, with the next release's name.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 'Created-By: Packages' | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/sources.list"
aside="-o Dir::Etc::sourcelist=$work/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
cd "$work"
# shellcheck disable=SC2086
apt-get $aside -qq update
# shellcheck disable=SC2086
apt-get $aside -qq download docker-compose
dpkg-deb -x docker-compose_*.deb unpacked
plugin=$(find unpacked -name docker-compose -path '*cli-plugins*' -type f | head -n 1)
install -D -m 755 "$plugin" "$target/docker-compose"
docker compose version
