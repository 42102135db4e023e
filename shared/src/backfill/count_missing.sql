-- $1 signed up no later than
select rollcall.count_missing($1) as missing
