-- A trigger before the insert that returns null discards the row without an error: on auth.users the user, on the profile
-- table the profile.
create or replace function rollcall.doctor_before_trigger_discards_rows() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    case when t.keeps_some then 'warning' else 'critical' end,
    format('the trigger %s on %s discards %s', t.tgname, t.tgrelid::regclass, case when t.keeps_some then 'some new rows' else 'every new row' end),
    case when t.tgrelid = 'auth.users'::regclass
      then 'Whom it discards cannot sign up: Supabase Auth fails on a user that is not there.'
      else 'Whose row it discards signs up without a profile, and no repair can help.'
    end,
    array[format('function %s returns null', t.function)],
    'Let the function return new. Where it means to refuse a row, let it raise an error that says why.',
    regexp_replace(pg_catalog.pg_get_functiondef(t.function), '\mreturn\s+null\M', 'return new', 'gi') || ';'
  from (
    select g.tgname, g.tgrelid, g.tgfoid::regprocedure as function, source.code ~* '\mreturn\s+\(?new\M' as keeps_some
    from pg_catalog.pg_trigger g
    join pg_catalog.pg_proc p on p.oid = g.tgfoid
    join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
    cross join lateral (
      select regexp_replace(rollcall.without_comments(p.prosrc), '''(?:[^'']|'''')*''', '''''', 'g') as code
    ) source
    where g.tgrelid in ('auth.users'::regclass, rollcall.profile_table())
      and not g.tgisinternal and g.tgenabled in ('O', 'A')
      and g.tgtype::integer & 7 = 7  -- for each row, before, insert
      and source.code ~* '\mreturn\s+null\M'
      -- "if tg_op = 'DELETE' then return null" is none of an insert's
      and (g.tgtype::integer & 24 = 0 or source.code !~* '\mtg_op\M')
  ) t
$$;
comment on function rollcall.doctor_before_trigger_discards_rows() is
  'Check before_trigger_discards_rows: a BEFORE INSERT trigger on auth.users or the profile table returns null.';
