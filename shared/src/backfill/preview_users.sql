-- $1 the users (null: the first who have no profile), $2 how many of these, $3 values that replace the definition's,
-- $4 whether signups are replayed, $5 how many rows to show. See the comment on rollcall.preview_users().
select rollcall.preview_users($1, $2, $3, $4, $5) as preview
