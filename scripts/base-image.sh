#!/bin/sh
# A stand-in for the public image python:3.13-slim, where that cannot be pulled (root, Debian):
# Debian 13's own Python 3.13, made with debootstrap.  It is local: do not push it.
#
# With HOST_CA_BUNDLE (by default SSL_CERT_FILE) the image trusts what this machine trusts, for
# networks whose TLS is opened on the way.
set -eu
name=python:3.13-slim
docker image inspect "$name" >/dev/null 2>&1 && exit 0
docker pull -q "$name" >/dev/null 2>&1 && exit 0

root=${1:-/var/tmp/mesh-lab-base}
mirror=${DEBIAN_MIRROR:-}  # empty: debootstrap's own
# shellcheck disable=SC2086
[ -e "$root/usr/bin/python3.13" ] ||
    debootstrap --variant=minbase --include=python3,ca-certificates trixie "$root" $mirror >/dev/null
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
    "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/*.log
# As in the official image: `python`, and pip may write.
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
ln -sf /usr/bin/python3 "$root/usr/local/bin/python3"
# A wheel of pip can install itself.
wheels=$(mktemp -d)
python3 -m pip download -q --no-deps -d "$wheels" pip >/dev/null
mkdir -p "$root/usr/local/lib/python3.13/dist-packages"
wheel=$(basename "$wheels"/pip-*.whl)
cp "$wheels/$wheel" "$root/tmp/"
chroot "$root" python3 "/tmp/$wheel/pip" install -q --no-index --root-user-action=ignore "/tmp/$wheel"
rm -rf "$wheels" "$root"/tmp/pip-*.whl
bundle=${HOST_CA_BUNDLE-${SSL_CERT_FILE:-}}
[ -z "$bundle" ] || cp -L "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
tar -C "$root" --numeric-owner --one-file-system --exclude='./dev/*' --exclude='./proc/*' \
    --exclude='./sys/*' -cf - . |
    docker import -c 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c 'ENV LANG=C.UTF-8' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
        -c 'CMD ["python3"]' - "$name" >/dev/null
echo "made a local $name"
