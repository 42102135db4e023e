-- A column of the profile table must have a value, has no default, and the definition does not give one.
select
  s.severity,
  case when s.is_by_definition then 'the next signup gets no profile' else 'a repair by the definition cannot make a profile' end
    || ': the table requires values that the definition does not give: ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum),
  case when s.is_by_definition then 'Every profile that Rollcall makes, at signup or by a repair, fails on these columns.'
    else 'Signups go on as they do. A profile that a repair makes fails on these columns.' end,
  array_agg(format('column %I is not null and has no default', a.attname) order by a.attnum),
  'Add these columns to the definition: rollcall definition show, then rollcall definition set FILE.'
    || case when s.is_by_definition then '' else ' Or let the application''s own trigger make the missing profiles: rollcall backfill --replay.' end,
  null
from facts f
cross join trigger_state s
join pg_catalog.pg_attribute a on a.attrelid = f.target and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type y on y.oid = a.atttypid
where (a.attnotnull or y.typnotnull) and not a.atthasdef and y.typdefault is null and a.attidentity = '' and a.attgenerated = ''
  and a.attname <> all (f.columns)
  -- a trigger may fill it before it is looked at
  and not exists (
    select from pg_catalog.pg_trigger g
    where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
group by s.is_by_definition, s.severity
