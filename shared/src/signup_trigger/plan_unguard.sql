-- What rollcall.unguard_function($1) would do.
select case
  when s.replaced ? ('guard ' || p.oid::regprocedure) and p.prosrc like '%rollcall guard%'
    then format('give %s its own body back', p.oid::regprocedure)
  when s.replaced ? ('guard ' || p.oid::regprocedure)
    then format('forget the guard of %s, which had been overwritten; the function stays as it is', p.oid::regprocedure)
  else format('%s has no guard', p.oid::regprocedure)
end as words
from pg_proc p
cross join rollcall.settings s
where p.oid = $1::regprocedure
