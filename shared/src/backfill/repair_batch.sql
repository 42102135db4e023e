-- $1 cursor, $2 how many users, $3 signed up no later than, $4 values that replace the definition's.
-- See the comment on rollcall.repair_batch().
select b.attempted, b.created, b.failed, b.last_user_id, b.failures
from rollcall.repair_batch($1, $2, $3, 'backfill', $4) b
