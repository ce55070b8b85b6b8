#!/bin/sh
# Installs Debian packages where that is possible, for root: apt_install.sh NAME PACKAGE...
# NAME is what is missing, in words. Fails where it cannot; the caller says what to do then.
set -eu

name=$1
shift
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 1

echo "No $name was found: installing Debian's with apt-get." >&2
# A package may bring a server that it starts (nginx, on port 80), unless this script of
# invoke-rc.d forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
{
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
} >&2
