-- What a signup or its confirmation runs: the functions of the triggers, those that they call, and those of the triggers
-- of tables that they insert into; each with the role that it runs as and where it looks for names. A function stands
-- here twice: as what is come to, and with its text once that was read, without comments (source) and with empty literals
-- (text), so that what is found in it is code.
run (trigger_id, function_id, caller, relation, via, runs_as, path, is_caught, is_certain, source, text) as (
  select
    t.trigger_id, t.function_id, null::oid, t.relation, null::oid, runs_as.role,
    array_replace(coalesce(f.own_path, l.auth_path), '$user', pg_catalog.pg_get_userbyid(runs_as.role)),
    false, true, null::text collate "C", null::text collate "C"
  from path_trigger t
  cross join place l
  join routine f on f.function_id = t.function_id
  cross join lateral (select case when f.is_definer then f.owner else l.auth_role end as role) runs_as
  union
  select
    r.trigger_id, n.function_id, n.caller, n.relation, n.via, n.runs_as,
    array_replace(n.path, '$user', pg_catalog.pg_get_userbyid(n.runs_as)),
    n.is_caught, n.is_certain, n.source, n.text
  from run r
  cross join place l
  join routine f on f.function_id = r.function_id
  cross join lateral (
    -- it is read
    select
      r.function_id, r.caller, r.relation, r.via, r.runs_as, r.path,
      r.is_caught or coalesce(
        -- "raise warning" raises nothing
        substring(read.text from '(?i)\mexception\s+when\s+others\M.*')
          !~* '\mraise\s*(;|exception\M|sqlstate\M|using\M|''''|[a-z_]+\s*(;|using\M))', false) as is_caught,
      r.is_certain, read.source, read.text
    from (
      select plain.source, regexp_replace(plain.source, '''(?:[^'']|'''')*''', '''''', 'g') as text
      from (
        select
          regexp_replace(
            coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) collate "C",
            '("[^"]*"|''(?:[^'']|'''')*'')|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/', '\1 ', 'g') as source
        from pg_catalog.pg_proc p
        where p.oid = r.function_id
        offset 0
      ) plain
      offset 0
    ) read
    where r.text is null and f.is_readable
    union all
    -- what it calls; by the name alone, where there are several of it
    select
      g.function_id, r.function_id, null, r.via, case when g.is_definer then g.owner else r.runs_as end, coalesce(g.own_path, r.path),
      r.is_caught,
      r.is_certain and count(*) over (partition by called.schema, called.name) = 1
        and (called.schema is not null or g.schema = any (r.path)),
      null, null
    from (
      select distinct
        case when m[1] like '"%' then btrim(m[1], '"') else lower(m[1]) end as schema,
        case when m[2] like '"%' then btrim(m[2], '"') else lower(m[2]) end as name
      from regexp_matches(r.text, '(?<![\w".])(?:("[^"]+"|[a-z_]\w*)\s*\.\s*)?("[^"]+"|[a-z_]\w*)\s*\(', 'gi') m
    ) called
    join routine g on g.name = called.name and (g.schema = called.schema or called.schema is null) and g.is_readable
    union all
    -- what its inserts fire
    select
      g.function_id, r.function_id, t.tgrelid, t.oid,
      case when g.is_definer then g.owner when waits.is_waiting then l.auth_role when f.is_ours then l.owner else r.runs_as end,
      coalesce(
        g.own_path, case when waits.is_waiting then l.auth_path when f.is_ours then l.application_path else r.path end),
      (r.is_caught or f.is_ours) and not waits.is_waiting, r.is_certain, null, null
    from (
      select l.target as relation where f.is_ours and r.text is null
      union
      select (
        select c.oid
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace s on s.oid = c.relnamespace
        where c.relname = i.name and (s.nspname = i.schema or i.schema is null and s.nspname = any (r.path))
        order by array_position(r.path, s.nspname)
        limit 1
      )
      from (
        select
          case when m[2] is not null then case when m[1] like '"%' then btrim(m[1], '"') else lower(m[1]) end end as schema,
          case when coalesce(m[2], m[1]) like '"%' then btrim(coalesce(m[2], m[1]), '"') else lower(coalesce(m[2], m[1])) end as name
        from regexp_matches(r.text, '\minsert\s+into\s+("[^"]+"|\w+)(?:\s*\.\s*("[^"]+"|\w+))?', 'gi') m
      ) i
    ) inserted
    join pg_catalog.pg_trigger t on t.tgrelid = inserted.relation
      and not t.tgisinternal and t.tgenabled in ('O', 'A') and t.tgtype::integer & 4 = 4
    join routine g on g.function_id = t.tgfoid
    -- until PostgreSQL 17, what waits for the commit runs as the session's role
    cross join lateral (
      select t.tgdeferrable and t.tginitdeferred and current_setting('server_version_num')::integer < 180000 as is_waiting
    ) waits
  ) n
)
