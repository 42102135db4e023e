-- Rights that a function needs for what it names, and that the role lacks that it runs as.
lacking as materialized (
  select distinct
    e.function_id, e.function_name, e.is_definer, e.owner, e.own_path, e.path, e.runs_as, e.runs_as_name, e.severity, e.consequence, e.meaning,
    e.way, x.needed, x.thing, x.owner_has_it,
    -- no right is ever given to a role of the browser's
    case when e.runs_as_name not in ('anon', 'authenticated') then x.grant_sql end as grant_sql
  from examined e
  join named n on n.function_id = e.function_id and n.path = e.path
  cross join lateral (
    select
      r.needed, n.meant::regclass::text as thing, has_table_privilege(e.owner, n.meant, r.needed) as owner_has_it,
      format('grant %s on %s to %I;', r.needed, n.meant::regclass, e.runs_as_name) as grant_sql
    from (
      select case n.command
        when 'insert into' then 'insert' when 'merge into' then 'insert' when 'delete from' then 'delete' else n.command end as needed
    ) r
    -- what is no privilege may not be asked for, whatever is evaluated first
    where case when n.kind = 'relation' and r.needed in ('insert', 'update', 'delete', 'select')
      then not has_table_privilege(e.runs_as, n.meant, r.needed)
        and not case when r.needed <> 'delete' then has_any_column_privilege(e.runs_as, n.meant, r.needed) else false end
    end
    union all
    -- of several functions of one name, any will do
    select
      'execute', min(p.oid::regprocedure::text), bool_or(has_function_privilege(e.owner, p.oid, 'execute')),
      case when count(*) = 1 then format('grant execute on function %s to %I;', min(p.oid::regprocedure::text), e.runs_as_name) end
    from pg_catalog.pg_proc p
    where n.kind = 'function' and p.proname = n.name
      and p.pronamespace = (select f.pronamespace from pg_catalog.pg_proc f where f.oid = n.meant)
    having not bool_or(has_function_privilege(e.runs_as, p.oid, 'execute'))
    union all
    -- nextval(), named or in the default of a column that gets no value
    select
      'usage', c.oid::regclass::text, has_sequence_privilege(e.owner, c.oid, 'usage, update'),
      format('grant usage on sequence %s to %I;', c.oid::regclass, e.runs_as_name)
    from (
      select n.meant as id where n.kind = 'sequence' and n.meant is not null
      union
      select d.refobjid
      from pg_catalog.pg_attrdef b
      join pg_catalog.pg_attribute a on a.attrelid = b.adrelid and a.attnum = b.adnum
      join pg_catalog.pg_depend d
        on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = b.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      where n.command = 'insert into' and n.columns is not null and b.adrelid = n.meant and a.attname::text <> all (n.columns)
    ) q
    join pg_catalog.pg_class c on c.oid = q.id
    where case when c.relkind = 'S' then not has_sequence_privilege(e.runs_as, c.oid, 'usage, update') end
    union all
    select 'execute', d.refobjid::regprocedure::text, has_function_privilege(e.owner, d.refobjid, 'execute'),
      format('grant execute on function %s to %I;', d.refobjid::regprocedure, e.runs_as_name)
    from pg_catalog.pg_attrdef b
    join pg_catalog.pg_attribute a on a.attrelid = b.adrelid and a.attnum = b.adnum
    join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = b.oid and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    where n.command = 'insert into' and n.columns is not null and b.adrelid = n.meant and a.attname::text <> all (n.columns)
      and not has_function_privilege(e.runs_as, d.refobjid, 'execute')
    union all
    -- only its owner may refresh it
    select 'ownership', c.oid::regclass::text, pg_has_role(e.owner, c.relowner, 'usage'), null
    from pg_catalog.pg_class c
    where n.command = 'refresh materialized view' and c.oid = n.meant and not pg_has_role(e.runs_as, c.relowner, 'usage')
      and not case when current_setting('server_version_num')::integer >= 170000 then has_table_privilege(e.runs_as, c.oid, 'maintain') else false end
  ) x
)
