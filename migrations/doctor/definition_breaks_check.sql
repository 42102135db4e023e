-- A check constraint of the profile table refuses what the definition gives for some kind of user: an empty text, a phone
-- number without a plus sign.
create or replace function rollcall.doctor_definition_breaks_check() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  is_kept boolean;
  refused record;
begin
  for refused in
    with sample as materialized (select s.kind, s.profile from rollcall.sample_profiles() s where s.profile is not null)
    select c.conname, pg_catalog.pg_get_expr(c.conbin, c.conrelid) as condition, array_agg(s.kind) as kinds, array_agg(s.profile) as profiles
    from pg_catalog.pg_constraint c cross join sample s
    where c.conrelid = target and c.contype = 'c'
      -- of a column with a default of its own the value is not known
      and not exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = target and a.attnum = any (c.conkey) and not s.profile ? a.attname::text)
      and not exists (
        select from pg_catalog.pg_trigger g
        where g.tgrelid = target and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
    group by c.conname, c.conbin, c.conrelid
    order by c.conname
  loop
    for i in 1 .. cardinality(refused.kinds) loop
      begin
        execute format('select %s from pg_catalog.jsonb_populate_record(null::%s, $1) %I', refused.condition, target, (select c.relname from pg_catalog.pg_class c where c.oid = target))
          into is_kept using refused.profiles[i];
      exception when others then
        -- a value that its column cannot take: definition_cannot_be_computed
        is_kept := true;
      end;
      if is_kept is not false then
        refused.kinds[i] := null;
      end if;
    end loop;
    refused.kinds := array_remove(refused.kinds, null);
    if cardinality(refused.kinds) > 0 then
      return next row(
        case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
        format('users of some kinds get no profile: the check constraint %I refuses what rollcall.expected_profile gives', refused.conname),
        'Without a profile stay: ' || array_to_string(refused.kinds, ', ') || '.',
        array[format('constraint %I on %s', refused.conname, target)],
        'Let the constraint allow the value, or give another one in the view (nullif for an empty text).',
        format('alter table %s drop constraint %I;', target, refused.conname)
      )::rollcall.doctor_finding;
    end if;
  end loop;
end
$$;
comment on function rollcall.doctor_definition_breaks_check() is
  'Check definition_breaks_check: a check constraint refuses what the definition gives for some kind of user.';
