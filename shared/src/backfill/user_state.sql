-- $1 the user
select rollcall.is_expected($1) as is_expected
