-- moddatetime() of the extension of that name, and PostgreSQL's own guard against updates without effect, work at an
-- update only and fail at an insert.
select
  min(e.severity),
  format('the trigger %s on %s runs %s at an insert, for which it is not made, %s', t.tgname, t.tgrelid::regclass, e.function_name, min(e.consequence)),
  min(e.meaning) || ' The error is the function''s own.',
  array[pg_catalog.pg_get_triggerdef(t.oid)] || min(e.way),
  'Let the trigger fire before update only.',
  case when pg_catalog.pg_get_triggerdef(t.oid) ~ '^CREATE TRIGGER .* INSERT OR UPDATE ' then
    regexp_replace(pg_catalog.pg_get_triggerdef(t.oid), '^CREATE TRIGGER (.*?) INSERT OR UPDATE ', 'create or replace trigger \1 UPDATE ') || ';'
  end
from examined e
join pg_catalog.pg_trigger t on t.oid = coalesce(e.via, e.trigger_id) and t.tgfoid = e.function_id and t.tgtype::integer & 4 = 4
join pg_catalog.pg_proc p on p.oid = e.function_id and p.proname in ('moddatetime', 'suppress_redundant_updates_trigger')
where e.text is null
group by t.oid, t.tgname, t.tgrelid, e.function_name
