#!/usr/bin/env bash
# The whole report on signups and profiles: scripts/diagnose-auth-profile.sh [options of rollcall diagnose]
#
# The database is DATABASE_URL, else SUPABASE_DB_URL. Exit status: 0 consistent, 1 inconsistent, 2 unknown or failure.
set -euo pipefail

rollcall=(rollcall)
has_rollcall() { command -v rollcall >/dev/null; }
has_rollcall || rollcall=(cargo run --quiet --features tls --manifest-path "$(dirname "$0")/../Cargo.toml" --)

exec "${rollcall[@]}" diagnose "$@"
