-- What an insert into the profile table looks like: one row.
profile_insert as materialized (
  select '\m(insert|merge)\s+into\s+(?:("[^"]+"|\w+)\s*\.\s*)?"?(' || string_agg(regexp_replace(n.name, '(\W)', '\\\1', 'g'), '|') || ')"?(?!\w)'
    as pattern
  from (
    select l.target_name::text as name from place l
    union
    -- its partitions, and the views that stand before it
    select c.relname::text
    from place l
    join pg_catalog.pg_inherits i on i.inhparent = l.target
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    union
    select c.relname::text
    from place l
    join pg_catalog.pg_depend d
      on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = l.target and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    join pg_catalog.pg_rewrite w on w.oid = d.objid
    join pg_catalog.pg_class c on c.oid = w.ev_class
  ) n
)
