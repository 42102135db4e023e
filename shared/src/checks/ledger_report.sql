-- $1 and $2: windows of the signups of the last hour and of the recent signups, in minutes.
-- A snapshot has no counterpart in the program, which only hands it back.
select
  r.check_time, r.last_full_proof, r.doubt, r.signups, r.signups_missing, r.counts, r.audit_log,
  r.recent_missing, r.new_missing, r.slice_after, r.running::text as running
from rollcall.ledger_report(make_interval(mins => $1), make_interval(mins => $2)) r
