-- What protects rows, and what happens at a signup, as one text each: a fix may add to it and take nothing away.
select format('%s.%s is not null', a.attrelid::regclass, a.attname)
from pg_attribute a join pg_class c on c.oid = a.attrelid
where a.attnotnull and a.attnum > 0 and c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace)
union all
select format('constraint %s on %s: %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
from pg_constraint k
where k.conrelid <> 0 and k.connamespace in ('public'::regnamespace, 'auth'::regnamespace)
union all
select pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indrelid
where c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace)
union all
select format('policy %s on %s: %s %s', y.polname, y.polrelid::regclass, pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid))
from pg_policy y
union all
select format('row level security of %s: %s %s', c.oid::regclass, c.relrowsecurity, c.relforcerowsecurity)
from pg_class c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
union all
-- rights that the browser's roles do not have
select format('%s has no %s on %s', r.rolname, p.privilege, c.oid::regclass)
from pg_class c
cross join pg_roles r
cross join unnest(array['select', 'insert', 'update', 'delete']) p (privilege)
where c.relkind in ('r', 'v', 'm') and c.relnamespace = 'public'::regnamespace and r.rolname in ('anon', 'authenticated')
  and not has_table_privilege(r.oid, c.oid, p.privilege)
union all
select format('%s may not execute %s', r.rolname, f.oid::regprocedure)
from pg_proc f cross join pg_roles r
where f.pronamespace in ('public'::regnamespace, 'rollcall'::regnamespace) and r.rolname in ('anon', 'authenticated')
  and not has_function_privilege(r.oid, f.oid, 'execute')
union all
-- the code, and what runs it
select format('%s: %s', f.oid::regprocedure, f.prosrc)
from pg_proc f
where f.pronamespace = 'public'::regnamespace
union all
select format('%s on %s runs %s', t.tgname, t.tgrelid::regclass, t.tgfoid::regprocedure)
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace)
