-- $1 the run, $2 whose lease it is, $3 how many users at most. See the comment on rollcall.advance_run().
select a.outcome, a.attempted, a.created, a.failed, a.busy, a.run
from rollcall.advance_run($1, $2, $3) a
