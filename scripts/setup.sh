#!/bin/sh
# Makes a checkout ready: Python environment, handlers wheel, RabbitMQ. `make setup` runs it.
# `scripts/setup.sh lock` writes the lock files anew, `scripts/setup.sh peers` makes the environment
# that benchmarks compare with. It changes nothing outside the checkout and the user's cache
# folder. Run again, it does only what has changed.
#
# PYTHON names the interpreter to use; UV_* settings and pip's index are respected.
set -eu

cd "$(dirname "$0")/.."
members="client producer builder notifier handlers"
oldest_uv=0.13
bin=.venv/bin
peers=.cache/peers

main() {
    mkdir -p .cache
    if command -v flock >/dev/null; then # two at once: the second finds the work done
        exec 9>.cache/setup.lock
        flock 9
    fi
    case "${1:-setup}" in
        setup)
            make_environment
            make_handlers_wheel
            provide_rabbitmq
            ;;
        lock) write_locks ;;
        peers) make_peers_environment ;;
        *) fail "usage: scripts/setup.sh [setup|lock|peers]" ;;
    esac
}

say() { echo "setup: $*"; }
fail() { echo "setup: error: $*" >&2; exit 1; }

# --- what is done already ---------------------------------------------------------------------

# A stamp holds a checksum of what a step was made from.
stamped() { [ "$(cat ".cache/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { echo "$2" >".cache/$1.stamp"; }

environment_sum() {
    {
        pwd # the members are installed by their place
        "$bin/python" -V
        cat requirements.lock scripts/setup.sh
        for member in $members; do cat "$member/pyproject.toml"; done
    } 2>&1 | cksum
}

handlers_sum() {
    find handlers/pyproject.toml handlers/README.md handlers/src \
        -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum
}

# --- Python environment -----------------------------------------------------------------------

make_environment() {
    if [ -x "$bin/datamill" ] && suits "$bin/python" && stamped environment "$(environment_sum)"; then
        return
    fi
    need_uv
    if ! suits "$bin/python"; then
        say "making .venv"
        "$uv" venv --quiet --clear --python "${python:->=3.11,<3.14}" .venv
    fi
    say "installing packages (the first time, half a gigabyte to fetch)"
    "$uv" pip install --quiet --python "$bin/python" --require-hashes --no-deps \
        --compile-bytecode --requirements requirements.lock
    set --
    for member in $members; do set -- "$@" --editable "$member"; done
    "$uv" pip install --quiet --python "$bin/python" --no-deps --no-build-isolation "$@"
    # Where PYTHONDONTWRITEBYTECODE is set, every start of a command would compile them anew.
    for member in $members; do "$bin/python" -m compileall -q "$member/src"; done
    stamp environment "$(environment_sum)"
}

suits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

# Sets `python` to the first interpreter that suits, to nothing if there is none.
find_python() {
    python=
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13"
    fi
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if suits "$candidate"; then
            # The program itself: what is on PATH may be a shim that picks another version later.
            python=$("$candidate" -c 'import sys; print(sys.executable)')
            return
        fi
    done
}

# --- uv ---------------------------------------------------------------------------------------

# Sets `uv` to one that is recent enough, and `python`.
need_uv() {
    find_python
    take_over_settings
    for uv in uv "$bin/uv" .cache/uv/bin/uv; do
        if recent "$uv"; then return; fi
    done
    [ -n "$python" ] || fail "no Python 3.11, 3.12 or 3.13 here: install one, or uv, which fetches one"
    say "fetching uv"
    locked_uv >.cache/uv-requirement.txt
    pip_install --upgrade --target .cache/uv --require-hashes --no-deps \
        --requirement .cache/uv-requirement.txt
    uv=.cache/uv/bin/uv
    recent "$uv" || fail "the uv that was fetched does not run"
}

recent() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#uv }
    version=${version%% *}
    oldest=$(printf '%s\n%s\n' "$oldest_uv" "$version" | sort -t. -k1,1n -k2,2n | head -n 1)
    [ "$oldest" = "$oldest_uv" ]
}

# The lock's requirement of uv, with its hashes.
locked_uv() {
    awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' requirements.lock
}

pip_install() {
    export PIP_ROOT_USER_ACTION=ignore # it goes into a folder of the checkout
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip install --quiet "$@"
    elif "$python" -m venv --clear .cache/bootstrap >/dev/null 2>&1; then
        .cache/bootstrap/bin/python -m pip install --quiet "$@"
    elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
        fetch_pip_wheel
        PYTHONPATH=$pip_wheel "$python" -m pip install --quiet "$@"
    else
        fail "$python has neither pip nor venv: install one of them, or uv"
    fi
}

# Debian splits pip and venv from Python. Sets `pip_wheel` to a pip of its own package, which is
# unpacked, not installed: that needs no root.
fetch_pip_wheel() {
    say "fetching Debian's pip"
    apt=$PWD/.cache/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    set -- apt-get -qq -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" \
        -o "Dir::State::status=$apt/status" -o Debug::NoLocking=1 -o APT::Sandbox::User=root \
        -o Acquire::Languages=none
    "$@" update || say "some package lists could not be fetched"
    (cd "$apt" && "$@" download python3-pip-whl) ||
        fail "$python has neither pip nor venv, and apt-get could not fetch python3-pip-whl: install uv"
    dpkg -x "$apt"/python3-pip-whl_*.deb "$apt/unpacked"
    pip_wheel=$(ls "$apt"/unpacked/usr/share/python-wheels/pip-*.whl)
}

# uv knows nothing of pip's configuration: hand over what it needs to reach the same index.
take_over_settings() {
    certificates="/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem"
    for bundle in $certificates; do
        if [ -s "$bundle" ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"; fi
    done
    # A user without a home (nobody, a build user) has no cache folder of its own.
    if [ -z "${UV_CACHE_DIR:-}${XDG_CACHE_HOME:-}" ] && ! mkdir -p "${HOME:-/nonexistent}/.cache/uv" 2>/dev/null; then
        export UV_CACHE_DIR="$PWD/.cache/uv-cache"
    fi
    if [ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_CONFIG_FILE:-}" ]; then return; fi
    for file in "${XDG_CONFIG_HOME:-${HOME:-}/.config}/uv/uv.toml" /etc/uv/uv.toml; do
        if [ -e "$file" ]; then return; fi
    done
    index=${PIP_INDEX_URL:-}
    if [ -z "$index" ] && [ -n "$python" ]; then
        index=$("$python" -m pip config get global.index-url 2>/dev/null || true)
    fi
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
}

# --- handlers, RabbitMQ -----------------------------------------------------------------------

# The default source of handler packages is handlers/dist.
make_handlers_wheel() {
    sum=$(handlers_sum)
    if stamped handlers "$sum" && ls handlers/dist/*.whl >/dev/null 2>&1; then return; fi
    [ -n "${uv:-}" ] || need_uv
    rm -rf .cache/handlers-dist
    "$uv" build --quiet --wheel --no-build-isolation --python "$bin/python" \
        --out-dir .cache/handlers-dist handlers
    mkdir -p handlers/dist
    mv -f .cache/handlers-dist/*.whl handlers/dist/
    stamp handlers "$sum"
}

provide_rabbitmq() {
    if [ -n "${DATAMILL_BROKER_URL:-}" ]; then
        say "DATAMILL_BROKER_URL is set: no RabbitMQ of our own is needed"
    else
        "$bin/python" -m datamill_producer.rabbitmq install
    fi
}

# --- peers of the benchmarks --------------------------------------------------------------------

peers_sum() {
    { pwd; "$peers/bin/python" -V; cat benchmarks/pyproject.toml; } 2>&1 | cksum
}

# pip installs them, not uv: which build of PyTorch suits a machine is a matter of pip's settings.
make_peers_environment() {
    if stamped peers "$(peers_sum)"; then return; fi
    need_uv
    say "making $peers (the first time, a gigabyte to fetch; much more where PyTorch comes with CUDA)"
    "$uv" venv --quiet --clear --seed --python "$bin/python" "$peers"
    (
        cd benchmarks
        set -- "../$peers/bin/python" -m pip install --quiet --disable-pip-version-check
        "$@" --group peers
        "$@" --no-deps --group peers-alone
    )
    stamp peers "$(peers_sum)"
}

# --- locks ------------------------------------------------------------------------------------

# uv.lock records the addresses of the index, so it is not kept. The exports hold exact versions
# and hashes for all platforms, and name no host.
write_locks() {
    need_uv
    "$uv" lock --quiet ${python:+--python "$python"} ${LOCK_ARGS:-}
    export_lock requirements.lock --all-groups
    export_lock requirements-server.lock --package datamill-producer --package datamill-builder \
        --package datamill-notifier --extra postgresql --package datamill --extra tracing
}

export_lock() {
    file=$1
    shift
    "$uv" export --quiet --frozen --no-emit-index-url --no-header --no-annotate \
        --no-emit-workspace "$@" --output-file "$file" >/dev/null
    if grep -n '://' "$file" >&2; then fail "$file names a host"; fi
    say "wrote $file"
}

main "$@"
