-- $1 the user, $2 values that replace the definition's
select r.user_id, r.outcome, r.code, r.constraint_name, r.column_name, r.functions, r.reason
from rollcall.repair_users(array[$1], 'backfill', $2) r
