-- $1 cursor, $2 how many users, $3 signed up no later than, $4 those who failed before or those who never did,
-- $5 values that replace the definition's. See the comment on rollcall.repair_batch().
select b.attempted, b.created, b.failed, b.busy, b.last_user_id, b.failures
from rollcall.repair_batch($1, $2, $3, $4, 'backfill', $5) b
