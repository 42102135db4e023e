# shellcheck shell=bash
# What the tests need besides Rust. Sourced by tests/run and .ci/run at the repository root;
# a second time it finds everything in place.
#
# As root on a Debian-like system it installs what is missing. Otherwise it names what is missing
# and goes on where the tests can do without.

# What is built and tested; what people install has TLS. Everywhere the same, or much would be built twice.
everything=(--workspace --features rollcall-cli/tls)

step() { printf '\n== %s %s\n' "$(date +%T)" "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

has() { command -v "$1" >/dev/null; }

# Of PostgreSQL 15 or newer, in the folders where sandbox/src/binaries.rs looks for it.
has_postgres() {
    local folder version path
    IFS=: read -ra path <<<"$PATH"
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin "${path[@]}"; do
        [[ -x $folder/initdb && -x $folder/postgres ]] || continue
        version=$("$folder/postgres" --version 2>/dev/null) || continue
        [[ $version =~ [0-9]+ ]] && (( BASH_REMATCH[0] >= 15 )) && return
    done
    return 1
}

# Building OpenSSL takes minutes; the tests take the system's where it is.
has_openssl() { has pkg-config && pkg-config --exists 'openssl >= 3'; }

# What the Python tools run on.
has_new_python() { python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; }

# Ordinary users of Debian do not have /usr/sbin on their PATH.
has_pgbouncer() { has pgbouncer || [[ -x /usr/sbin/pgbouncer ]]; }

# Under the names that tests/src/browser.rs looks for.
has_browser() { has chromium || has chromium-browser || has google-chrome || has google-chrome-stable; }

# The Debian packages that are missing: first the needed ones, then those the tests can do without.
find_missing() {
    needed=() optional=()
    has cc || needed+=(gcc libc6-dev)
    has make || needed+=(make)
    # OpenSSL's build wants modules that a minimal Perl lacks.
    perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || needed+=(perl)
    has python3 || needed+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || needed+=(python3-pip)
    has_openssl || optional+=(libssl-dev pkg-config)
    has_postgres || optional+=(postgresql)
    has_pgbouncer || optional+=(pgbouncer)
    has_browser || optional+=(chromium)
    has npm || optional+=(npm)
}

# The tests start servers of their own. policy-rc.d is Debian's way to install one without starting it.
apt_install() (
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

install_system_packages() {
    local needed optional
    find_missing
    if (( EUID == 0 && ${#needed[@]} + ${#optional[@]} )) && has apt-get; then
        set -- "${needed[@]}" "${optional[@]}"
        step "Installing $*"
        apt_install "$@" || echo "apt-get failed; going on with what is here" >&2
        find_missing
    fi
    if (( ${#needed[@]} )); then
        fail "missing; on Debian or Ubuntu: sudo apt-get install -y ${needed[*]} ${optional[*]-}"
    fi
    has_new_python || fail "python3 is $(python3 --version 2>&1), and the tests need Python 3.10 or newer"
    has_postgres ||
        echo "No PostgreSQL 15 or newer here: the tests fetch one from PyPI (or: apt-get install -y postgresql)." >&2
    if ! has_pgbouncer; then
        [[ ${CI:-} != true ]] || fail "missing: pgbouncer, which CI must not do without"
        echo "No pgbouncer here: the tests through a pooler are skipped (or: apt-get install -y pgbouncer)." >&2
    fi
    if ! has_browser; then
        [[ ${CI:-} != true ]] || fail "missing: chromium, which CI must not do without"
        echo "No Chromium here: the tests of the dashboard in a browser are skipped (or: apt-get install -y chromium)." >&2
    fi
}

# Installs the pinned Python tools into the target folder, anew when the pins or Python change. Python compiles what it
# imports; of all there is that is the smaller part.
install_python_tools() {
    local requirements=tests/infra/requirements.txt alone=tests/browser-requirements.txt
    local stamp
    stamp=$(python3 --version; cat "$requirements" "$alone")
    if [[ $stamp != "$(cat "$tools/stamp" 2>/dev/null)" ]]; then
        step "Installing the Python test tools"
        rm -rf "$tools"
        mkdir -p "$tools"
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
            --no-compile --no-warn-conflicts --target "$tools/python" -r "$requirements" >&2
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
            --no-compile --no-deps --target "$tools/python" -r "$alone" >&2
        printf '%s\n' "$stamp" >"$tools/stamp"
    fi
}

# The Supabase CLI, 142 MB, into the target folder.
install_supabase_cli() {
    if [[ ! -x $supabase/node_modules/.bin/supabase ]]; then
        step "Installing the Supabase CLI"
        rm -rf "$tools/supabase"
        npm install --silent --no-audit --no-fund --prefix "$supabase" "supabase@${supabase##*/}" >&2
    fi
}

# Most of it is the network's time: beside the compiler, until wait_for_tools.
install_tools() {
    tools=$PWD/target/test-tools
    supabase=$tools/supabase/3.1.0
    export ROLLCALL_TEST_PYTHON=$tools/python
    if has npm; then
        export ROLLCALL_TEST_SUPABASE=$supabase/node_modules/.bin/supabase
    else
        [[ ${CI:-} != true ]] || fail "missing: npm, which CI must not do without"
        echo "No npm here: the tests with the Supabase CLI are skipped (or: apt-get install -y npm)." >&2
    fi
    (
        install_python_tools
        if has npm; then
            install_supabase_cli
        fi
    ) &
    installer=$!
    trap wait EXIT
}

wait_for_tools() { wait "$installer" || fail "the tests' tools could not be installed"; }

# Each database is hundreds of small files: in memory where there is plenty of it, until the script ends.
keep_servers_in_memory() {
    local enough=$((8 * 1024 * 1024)) room memory # in KiB; two programs at a time take some three GiB
    room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -1) || true
    memory=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo 2>/dev/null) || true
    if [[ -z ${TMPDIR:-} ]] && (( ${room:-0} > enough && ${memory:-0} > enough )); then
        in_memory=$(mktemp -d /dev/shm/rollcall-tests.XXXXXX)
        trap 'wait; rm -rf "$in_memory" || true' EXIT
        chmod 711 "$in_memory"
        export TMPDIR=$in_memory
    fi
}

has cargo || fail "missing: cargo; install Rust from https://rustup.rs"
install_system_packages
if has_openssl; then
    export OPENSSL_NO_VENDOR=1
fi
install_tools
keep_servers_in_memory
