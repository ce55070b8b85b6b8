#!/bin/sh
# Prints the path of a Chromium for the browser tests. If there is none, root on Debian gets it
# installed; everybody else is told what to install.
set -eu

find_chromium() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        # Ubuntu has a chromium-browser that only says to install a snap: ask for its version.
        if command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# The browser to use may also be named: CHROMIUM=/path/to/chromium make test-browser
if [ -n "${CHROMIUM:-}" ]; then
    echo "$CHROMIUM"
    exit 0
fi

find_chromium && exit 0

# The font is for the pages' text; a bare server has none.
if "$(dirname "$0")/apt_install.sh" Chromium chromium fonts-dejavu-core; then
    find_chromium && exit 0
fi

echo "The browser tests need Chromium, and none was found." >&2
echo "Install it (Debian: apt-get install chromium) or name one you have:" >&2
echo "    make test-browser CHROMIUM=/path/to/chromium" >&2
exit 1
