-- Every object of Rollcall's with a hash of what it is and with who may do what with it, one row each: asked before and after.
with held (name, shape, rights) as (
  select 'schema rollcall', pg_catalog.obj_description(n.oid, 'pg_namespace'),
    coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
  from pg_catalog.pg_namespace n
  where n.nspname = 'rollcall'
  union all
  select pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes)),
    pg_catalog.concat_ws(e'\n', pg_catalog.pg_get_functiondef(p.oid), pg_catalog.obj_description(p.oid, 'pg_proc')),
    coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.prokind <> 'a'
    and (n.nspname = 'rollcall'
      or n.nspname = 'public' and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %' and p.prosrc like '%rollcall.%')
  union all
  select pg_catalog.format('%I.%I', n.nspname, c.relname),
    pg_catalog.concat_ws(e'\n', c.reloptions::text, c.relrowsecurity, pg_catalog.obj_description(c.oid, 'pg_class'),
      case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end,
      (
        select pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity, pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(c.oid, a.attnum)), e'\n' order by a.attname)
        from pg_catalog.pg_attribute a
        left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and c.relkind = 'r'
      ),
      (
        select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), e'\n' order by k.conname)
        from pg_catalog.pg_constraint k
        where k.conrelid = c.oid
      ),
      (
        select pg_catalog.string_agg(
          pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), pg_catalog.obj_description(i.indexrelid, 'pg_class')), e'\n'
          order by i.indexrelid::pg_catalog.regclass::text)
        from pg_catalog.pg_index i
        where i.indrelid = c.oid
      )),
    coalesce(c.relacl, pg_catalog.acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'rollcall' and c.relkind in ('r', 'S')
    or n.nspname = 'public' and c.relkind = 'v' and pg_catalog.obj_description(c.oid, 'pg_class') like 'Rollcall: %'
)
select h.name, pg_catalog.md5(h.shape) as shape,
  (
    select coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(' ', x.grantee, x.privilege_type, x.is_grantable), ', '
      order by x.grantee, x.privilege_type), '')
    from pg_catalog.aclexplode(h.rights) x
  ) as rights
from held h
union all
select pg_catalog.format('role %s', r.rolname), pg_catalog.md5(''),
  coalesce(pg_catalog.string_agg(m.roleid::pg_catalog.regrole::text, ', ' order by m.roleid) filter (where o.rolname like 'rollcall%'), '')
from pg_catalog.pg_roles r
left join (pg_catalog.pg_auth_members m join pg_catalog.pg_roles o on o.oid = m.roleid) on m.member = r.oid
where r.rolname in ('rollcall_monitor', 'rollcall_repairer')
group by r.rolname
order by 1
