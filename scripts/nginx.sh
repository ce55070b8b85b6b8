#!/bin/sh
# Prints the path of an nginx for the tests and benchmarks. If there is none, root on Debian gets it
# installed; everybody else is told what to install.
set -eu

find_nginx() {
    # Debian has it in /usr/sbin, which is not on everybody's PATH.
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx
}

# The nginx to use may also be named: NGINX=/path/to/nginx make test
if [ -n "${NGINX:-}" ]; then
    echo "$NGINX"
    exit 0
fi

find_nginx && exit 0

if "$(dirname "$0")/apt_install.sh" nginx nginx; then
    find_nginx && exit 0
fi

echo "Tests and benchmarks need nginx, and none was found." >&2
echo "Install it (Debian: apt-get install nginx) or name one you have:" >&2
echo "    make test NGINX=/path/to/nginx" >&2
exit 1
