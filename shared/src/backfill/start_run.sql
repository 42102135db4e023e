-- $1 source, $2 options, $3 the run to continue. See the comment on rollcall.start_run().
select s.run_id, s.is_new, s.lease_owner, s.total_missing
from rollcall.start_run($1, $2, $3) s
