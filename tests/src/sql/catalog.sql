-- One line for each object. Rights are listed one by one in a fixed order, and defaults are written out, so that an
-- absent list equals the one it stands for.
with schema as (
  select n.oid, n.nspname
  from pg_catalog.pg_namespace n
  where n.nspname !~ '^(pg_|information_schema$|supabase_migrations$)'
),
relation as (
  select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as path
  from pg_catalog.pg_class c
  join schema s on s.oid = c.relnamespace
),
line (text) as (
  select format('schema %I owner %s comment %L', n.nspname, n.nspowner::regrole, obj_description(n.oid, 'pg_namespace'))
  from pg_catalog.pg_namespace n join schema s on s.oid = n.oid
  union all
  select format('relation %s kind %s owner %s rls %s %s options %s comment %L definition %s',
    r.path, r.relkind, r.relowner::regrole, r.relrowsecurity, r.relforcerowsecurity, r.reloptions,
    obj_description(r.oid, 'pg_class'), case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid) end)
  from relation r where r.relkind not in ('i', 'I')
  union all
  select format('column %s.%I %s %s not null %s default %s %s%s comment %L', r.path, a.attname, a.attnum,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
    col_description(r.oid, a.attnum))
  from relation r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
  where r.relkind not in ('i', 'I', 'S')
  union all
  select format('index %s valid %s comment %L', pg_get_indexdef(i.indexrelid), i.indisvalid, obj_description(i.indexrelid, 'pg_class'))
  from pg_catalog.pg_index i join relation r on r.oid = i.indrelid
  union all
  select format('constraint %s %I %s', r.path, c.conname, pg_get_constraintdef(c.oid))
  from pg_catalog.pg_constraint c join relation r on r.oid = c.conrelid
  union all
  select format('policy %s %I %s permissive %s to %s using %s check %s comment %L', r.path, p.polname, p.polcmd, p.polpermissive,
    array(select coalesce(nullif(member, 0)::regrole::text, 'public') from unnest(p.polroles) member order by 1),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy'))
  from pg_catalog.pg_policy p join relation r on r.oid = p.polrelid
  union all
  select format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
  from pg_catalog.pg_trigger t join relation r on r.oid = t.tgrelid
  where not t.tgisinternal
  union all
  select format('function owner %s comment %L %s', p.proowner::regrole, obj_description(p.oid, 'pg_proc'), pg_get_functiondef(p.oid))
  from pg_catalog.pg_proc p join schema s on s.oid = p.pronamespace
  where p.prokind in ('f', 'p')
  union all
  select format('type %I.%I owner %s comment %L labels %s', s.nspname, t.typname, t.typowner::regrole, obj_description(t.oid, 'pg_type'),
    array(select e.enumlabel from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder))
  from pg_catalog.pg_type t join schema s on s.oid = t.typnamespace
  union all
  select format('right on %s: %s has %s%s', held.object, coalesce(nullif(x.grantee, 0)::regrole::text, 'public'), x.privilege_type,
    case when x.is_grantable then ' and passes it on' else '' end)
  from (
    select format('schema %I', n.nspname), coalesce(n.nspacl, acldefault('n', n.nspowner))
    from pg_catalog.pg_namespace n join schema s on s.oid = n.oid
    union all
    select r.path, coalesce(r.relacl, acldefault(case when r.relkind = 'S' then 's' else 'r' end::"char", r.relowner))
    from relation r where r.relkind not in ('i', 'I')
    union all
    select format('%s.%I', r.path, a.attname), a.attacl
    from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attacl is not null
    union all
    select p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_catalog.pg_proc p join schema s on s.oid = p.pronamespace
  ) held (object, rights)
  cross join lateral aclexplode(held.rights) x
)
select line.text from line order by line.text collate "C"
