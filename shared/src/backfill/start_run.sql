-- $1 face, $2 note, $3 users in a batch, $4 users at most, $5 values that replace the definition's, $6 and $7 first and
-- last id, $8 duty, $9 lag of standbys in ms, $10 idempotency key, $11 what was asked under it.
-- See the comment on rollcall.start_run().
select s.run_id, s.is_new, s.holder, s.total_missing
from rollcall.start_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) s
