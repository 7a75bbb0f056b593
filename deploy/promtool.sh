#!/bin/sh
# Sees that there is a promtool for the tests of alerts: sh deploy/promtool.sh
# Installs Debian's, whose package brings Prometheus itself, too: that is not started. Otherwise those tests fail and say how.
set -eu
command -v promtool >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "promtool: installing prometheus for the tests of alerts" >&2
    # A package may start its services while it is installed; this says no, unless somebody has said something already.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends prometheus; } >&2 && exit 0
fi
echo "promtool: none; the tests in tests/unit/deploy/test_alerts.py will fail. As root: apt-get install prometheus" >&2
