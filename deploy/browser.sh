#!/bin/sh
# Sees that there is a Chromium for the tests of the console: sh deploy/browser.sh
# Installs Debian's without windows where it may, which is quicker than one with; otherwise any one will do.
set -eu
command -v chromium-headless-shell >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "browser: installing chromium-headless-shell for the tests of the console" >&2
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium-headless-shell; } >&2 && exit 0
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
echo "browser: no Chromium; the tests in tests/browser will fail. As root: apt-get install chromium-headless-shell" >&2
