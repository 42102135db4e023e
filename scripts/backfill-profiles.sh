#!/usr/bin/env bash
# Creates missing profiles: scripts/backfill-profiles.sh [true|false] [BATCH_SIZE] [options of rollcall backfill]
#
#   true        a dry run, which changes nothing; this is the default
#   false       really create them: asks on a terminal, and elsewhere wants "yes" on standard input, or --yes
#   BATCH_SIZE  users in one transaction, 1 to 10000; 100 if not given
#
# The database is DATABASE_URL, else SUPABASE_DB_URL. Exit status: 0 done and nobody is without a profile (or a dry
# run), 1 somebody is, 2 usage or failure.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

dry_run=${1-true} batch_size=${2-100}
[[ $dry_run == true || $dry_run == false ]] || usage
[[ $batch_size =~ ^[0-9]{1,5}$ ]] && (( 10#$batch_size >= 1 && 10#$batch_size <= 10000 )) || usage
options=(--batch-size "$((10#$batch_size))" "${@:3}")

if [[ $dry_run == false ]]; then
    options+=(--apply)
    if [[ ! -t 0 && " ${options[*]} " != *" --yes "* ]]; then
        answer=
        read -r answer || true
        if [[ $answer != yes && $answer != y ]]; then
            echo "Nothing was changed: to confirm without a terminal, pipe the word yes, or add --yes after the batch size." >&2
            exit 2
        fi
        options+=(--yes)
    fi
fi

rollcall=(rollcall)
has_rollcall() { command -v rollcall >/dev/null; }
has_rollcall || rollcall=(cargo run --quiet --features tls --manifest-path "$(dirname "$0")/../Cargo.toml" --)

exec "${rollcall[@]}" backfill "${options[@]}"
