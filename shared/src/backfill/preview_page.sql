-- $1 how many users, $2 and $3 first and last id, $4 values that replace the definition's, $5 how many rows to show.
-- See the comment on rollcall.preview_page().
select p.user_id, p.outcome, p.code, p.constraint_name, p.column_name, p.profile
from rollcall.preview_page($1, $2, $3, $4, $5) p
order by p.user_id
