-- $1 and $2 first and last id
select rollcall.missing_in_range($1, $2) as missing
