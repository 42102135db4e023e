-- $1 the run
select s.run_id, s.is_new, s.holder, s.total_missing
from rollcall.join_run($1) s
