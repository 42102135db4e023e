-- $1 how many users, $2 values that replace the definition's. See the comment on rollcall.preview_users().
select r.user_id, r.outcome, r.code, r.constraint_name, r.column_name
from rollcall.preview_users(array(select rollcall.missing_users(null, $1)), $2) r
order by r.user_id
