-- The triggers on the tables of Supabase Auth, in the order in which they fire: whose they are and what they fire on.
select
  t.tgname::text as trigger_name, t.tgrelid::regclass::text as table_name, p.oid::regprocedure::text as function_name,
  rollcall.is_ours(p.oid) as is_ours, t.tgenabled in ('O', 'A') as is_enabled,
  concat_ws(' ',
    case when t.tgtype::integer & 2 = 2 then 'before' else 'after' end,
    concat_ws(' or ', case when t.tgtype::integer & 4 = 4 then 'insert' end, case when t.tgtype::integer & 16 = 16 then 'update' end,
      case when t.tgtype::integer & 8 = 8 then 'delete' end),
    case when t.tgtype::integer & 1 = 0 then 'for each statement' end,
    case when t.tginitdeferred then 'at commit' end,
    case when t.tgqual is not null then 'under a condition' end,
    case when s.replaced ? ('guard ' || p.oid::regprocedure) then
      case when p.prosrc like '%rollcall guard%' then '(guarded)' else '(the guard was overwritten)' end end) as note
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_proc p on p.oid = t.tgfoid
cross join rollcall.settings s
where c.relnamespace = to_regnamespace('auth') and not t.tgisinternal
order by t.tgrelid::regclass::text, t.tgname collate "C"
