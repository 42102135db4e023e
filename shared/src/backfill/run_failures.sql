-- $1 the run, $2 how many at most
select f.user_id, f.code, f.constraint_name, f.column_name, f.functions, f.reason
from rollcall.run_failures($1, $2) f
order by f.user_id
