-- What the text of a function names outside of dynamic SQL, as a command or a kind of thing, and what stands behind it.
-- An unqualified name that is not in reach has the schemas where it is (elsewhere).
raw_name as materialized (
  select distinct
    n.function_id, n.path, n.kind, n.command,
    case when n.first like '"%' then btrim(n.first, '"') else lower(n.first) end as schema,
    case when n.last like '"%' then btrim(n.last, '"') else lower(n.last) end as name,
    n.columns
  from (
    select
      r.function_id, r.path, 'relation' as kind, lower(regexp_replace(m[1], '\s+', ' ', 'g')) as command,
      case when m[3] is not null then m[2] end as first, coalesce(m[3], m[2]) as last,
      case when m[4] ~ '^\s*("[^"]+"|\w+)\s*(,\s*("[^"]+"|\w+)\s*)*$' then (
        select array_agg(case when c like '%"%' then btrim(c, E' \n\t\r"') else lower(btrim(c, E' \n\t\r')) end order by p)
        from unnest(string_to_array(m[4], ',')) with ordinality x (c, p)) end as columns
    from reading r
    cross join lateral regexp_matches(
      r.text,
      '\m(insert\s+into|update|delete\s+from|merge\s+into|refresh\s+materialized\s+view)\s+(?:only\s+|concurrently\s+)?("[^"]+"|\w+)(?:\s*\.\s*("[^"]+"|\w+))?(?:\s+as\s+\w+)?(?:\s*\(([^()]*)\))?',
      'gi'
    ) m
    -- "on conflict do update set", "for update skip locked"
    where not (lower(m[1]) = 'update' and lower(m[2]) in ('set', 'skip', 'nowait', 'of', 'on', 'loop', 'limit'))
    union all
    select r.function_id, r.path, 'relation', 'select', case when m[2] is not null then m[1] end, coalesce(m[2], m[1]), null
    from reading r
    cross join lateral regexp_matches(
      r.text, '\m(?:from|join)\s+(?:only\s+)?("[^"]+"|\w+)(?:\s*\.\s*("[^"]+"|\w+))?(?![\w"]*\s*[.(])', 'gi') m
    -- a name that the statement defines for itself
    where m[2] is not null or r.text !~* ('\m' || regexp_replace(m[1], '(\W)', '\\\1', 'g') || '\s*(\([^()]*\)\s*)?as\s+(not\s+)?(materialized\s+)?\(')
    union all
    select r.function_id, r.path, 'type', 'cast', case when m[2] is not null then m[1] end, coalesce(m[2], m[1]), null
    from reading r
    cross join lateral regexp_matches(
      r.text, '(?:::|\mcast\s*\([^()]*\mas)\s*("[^"]+"|[a-z_]\w*)(?:\s*\.\s*("[^"]+"|[a-z_]\w*))?', 'gi') m
    union all
    select r.function_id, r.path, 'type', 'declare', case when m[2] is not null then m[1] end, coalesce(m[2], m[1]), null
    from reading r
    cross join lateral regexp_matches(
      substring(r.text from '(?i)\mdeclare\M(.*?)\mbegin\M'),
      '(?:^|;)\s*\w+\s+(?:constant\s+)?("[^"]+"|[a-z_]\w*)(?:\s*\.\s*("[^"]+"|[a-z_]\w*))?\s*(?:\[[\d\s]*\]|\([\d\s,]*\))?\s*(?=;|:=|=|\mdefault\M|\mnot\M)', 'gi') m
    union all
    select r.function_id, r.path, 'function', 'call', m[2], m[3], null
    from reading r
    cross join lateral regexp_matches(
      r.text, '(?<![\w".])(::\s*|(?:into|on|table|copy|references|index|as)\s+)?(?:("[^"]+"|[a-z_]\w*)\s*\.\s*)?("[^"]+"|[a-z_]\w*)\s*\(', 'gi') m
    where m[1] is null
    union all
    select r.function_id, r.path, 'sequence', 'nextval', m[1], m[2], null
    from reading r
    cross join lateral regexp_matches(r.source, '\mnextval\s*\(\s*''(?:("[^"]+"|\w+)\s*\.\s*)?("[^"]+"|\w+)''', 'gi') m
  ) n
),
named as materialized (
  select
    n.function_id, n.path, n.kind, n.command, n.schema, n.name, concat_ws('.', n.schema, n.name) as written, n.columns,
    -- what is there; what is meant, in reach or not
    o.here as object, case when n.schema is null then coalesce(o.here, o.there) else o.here end as meant,
    s.oid as schema_id, case when n.schema is null and o.here is null then o.elsewhere end as elsewhere
  from raw_name n
  left join pg_catalog.pg_namespace s on s.nspname = n.schema
  cross join lateral (
    select
      (array_agg(x.id order by array_position(n.path, x.schema)) filter (
        where x.schema = n.schema or n.schema is null and x.schema = any (n.path)))[1] as here,
      (array_agg(x.id order by x.schema <> 'public', x.schema) filter (
        where x.schema !~ '^(pg_|information_schema$|rollcall$)'))[1] as there,
      array_agg(distinct x.schema::text) filter (where x.schema !~ '^(pg_|information_schema$|rollcall$)') as elsewhere
    from (
      select c.oid as id, h.nspname as schema
      from pg_catalog.pg_class c join pg_catalog.pg_namespace h on h.oid = c.relnamespace
      where n.kind in ('relation', 'sequence') and c.relname = n.name
        and c.relkind = any (case n.kind when 'sequence' then '{S}'::"char"[] else '{r,p,v,m,f}' end)
      union all
      select y.oid, h.nspname
      from pg_catalog.pg_type y join pg_catalog.pg_namespace h on h.oid = y.typnamespace
      where n.kind = 'type' and y.typname = n.name
      union all
      select p.oid, h.nspname
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace h on h.oid = p.pronamespace
      where n.kind = 'function' and p.proname = n.name
    ) x
  ) o
)
