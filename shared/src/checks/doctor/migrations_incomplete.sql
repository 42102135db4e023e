-- Something that Rollcall's migrations make is gone, or was never made: a migration that broke off, an object that was
-- dropped.
select
  'warning',
  'objects that Rollcall''s migrations make are missing: ' || string_agg(m.name, ', '),
  'What people and programs call fails, and a repair may fail with it. Signups go on.',
  array_agg(format('%s is missing', m.name)),
  'Run the migrations again: rollcall migrate.',
  null
from place l
cross join unnest($1::text[]) w (name)
cross join lateral (select 'rollcall.' || w.name as name) m
where l.is_installed
  -- what is published lies in public
  and not exists (
    select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where p.proname = w.name and n.nspname in ('rollcall', 'public'))
  and not exists (select from pg_catalog.pg_class c where c.relnamespace = l.schema_rollcall and c.relname = w.name)
having count(*) > 0
