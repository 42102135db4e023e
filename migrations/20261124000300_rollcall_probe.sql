-- A signup that is tried and taken back.
--
-- Makes rollcall.probe_signup(kind): a made-up user signs up as Supabase Auth lets him, all triggers fire, the profile is
-- looked at, and an exception takes everything back. It commits nothing, whoever calls it.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.probe_kinds() returns setof text
language sql volatile security definer set search_path = '' as $$
  select s.kind from rollcall.sample_users() s
$$;
comment on function rollcall.probe_kinds() is
  'The kinds of users that rollcall.probe_signup() can try.';

create or replace function rollcall.insert_record_sql(p_table regclass, p_record jsonb) returns text
language sql stable set search_path = '' as $$
  select format(
    'insert into %1$s (%2$s) select %2$s from pg_catalog.jsonb_populate_record(null::%1$s, $1)',
    p_table, string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  )
  from pg_catalog.pg_attribute a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and p_record ? a.attname::text
$$;
comment on function rollcall.insert_record_sql(regclass, jsonb) is
  'The statement that inserts $1 jsonb into a table: those of its keys that the table has as columns, whatever the version of Supabase Auth.';

-- What a rollback cannot take back, by the text of what a signup runs.
create or replace function rollcall.beyond_rollback() returns setof text
language sql stable set search_path = '' as $$
  with recursive theirs as materialized (
    select p.oid, p.prosrc, lower(p.proname) as name, '\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(' as call
    from pg_catalog.pg_proc p
    where p.pronamespace = any (array(
      select n.oid from pg_catalog.pg_namespace n where n.nspname !~ '^(pg_.*|information_schema|auth|extensions|rollcall)$'))
  ),
  code (source) as (
    select rollcall.without_comments(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) collate "C"
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where not t.tgisinternal and t.tgenabled in ('O', 'A')
      and (t.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities'), to_regclass('public.user_events')) or t.tgrelid = rollcall.profile_table())
    union
    select rollcall.without_comments(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) collate "C"
    from code
    join theirs p on case when strpos(lower(code.source), p.name) > 0 then code.source ~* p.call else false end
  )
  select distinct lower(m[1])
  from code
  cross join lateral regexp_matches(code.source, '\m(dblink\w*|http|http_\w+|pg_background_launch|lo_export|pg_file_write)\s*\(', 'gi') m
  union
  select 'foreign table ' || c.oid::regclass
  from pg_catalog.pg_class c
  where c.oid = rollcall.profile_table() and c.relkind = 'f'
$$;
comment on function rollcall.beyond_rollback() is
  'What a signup seems to do that no rollback takes back: calls over HTTP or to another database, files. pg_net and NOTIFY are taken back.';

-- "others" leaves out a cancelled query and a failed assertion; a trigger may meet either.
create or replace function rollcall.probe_signup(p_kind text)
returns table (kind text, outcome text, code text, constraint_name text, column_name text, wrong_columns text[])
language plpgsql volatile security definer set search_path = '' set row_security = off set lock_timeout = '1s' as $$
declare
  person jsonb;
  user_id uuid;
  person_identity jsonb;
  is_expected boolean;
  has_profile boolean;
  differences text;
  failed record;
begin
  perform rollcall.require_sight();
  kind := p_kind;
  select s.users_row into person from rollcall.sample_users() s where s.kind = p_kind;
  if person is null then
    raise exception 'rollcall: there is no such kind of user'
      using errcode = 'invalid_parameter_value', hint = 'select rollcall.probe_kinds()';
  end if;
  if not has_table_privilege('auth.users', 'insert') then
    outcome := 'unknown';
    code := '42501';
    return next;
    return;
  end if;
  -- what could not be taken back is not begun
  if exists (select from rollcall.beyond_rollback()) then
    outcome := 'refused';
    return next;
    return;
  end if;
  user_id := person ->> 'id';

  begin
    -- as Supabase Auth: its search_path, and its order of statements
    perform pg_catalog.set_config('search_path', 'auth', true);
    execute rollcall.insert_record_sql('auth.users', person) using person;
    if not exists (select from auth.users u where u.id = user_id) then
      raise exception 'rollcall: a trigger discarded the user' using errcode = 'RC002';
    end if;
    update auth.users u set role = 'authenticated', updated_at = now() where u.id = user_id;
    if p_kind <> 'anonymous' and to_regclass('auth.identities') is not null then
      person_identity := pg_catalog.jsonb_build_object(
        'id', pg_catalog.gen_random_uuid(), 'provider_id', user_id, 'user_id', user_id, 'provider', person #>> '{raw_app_meta_data,provider}',
        'identity_data', pg_catalog.jsonb_build_object('sub', user_id, 'email', person ->> 'email'),
        'last_sign_in_at', now(), 'created_at', now(), 'updated_at', now()
      );
      execute rollcall.insert_record_sql('auth.identities', person_identity) using person_identity;
    end if;
    if person ->> 'email' is not null then
      update auth.users u set email_confirmed_at = now() where u.id = user_id;
    elsif person ->> 'phone' is not null then
      update auth.users u set phone_confirmed_at = now() where u.id = user_id;
    end if;
    -- what the commit would do
    set constraints all immediate;
    perform pg_catalog.set_config('search_path', '', true);

    is_expected := exists (select from rollcall.expected_profile e where e._user_id = user_id);
    has_profile := exists (select from rollcall.actual_profile a where a._user_id = user_id);
    if has_profile and is_expected then
      -- what the definition gives anew at every look (a random name) cannot be compared, nor a moment
      select format(
        'select array_remove(array[%s], null) from rollcall.expected_profile e join rollcall.expected_profile again on again._user_id = e._user_id join %s t on %s where e._user_id = $1',
        string_agg(
          format(
            case when c.column_name = 'email'
              then 'case when lower(t.%1$I::text) is distinct from lower(e.%1$I::text) then %1$L end'
              else 'case when pg_catalog.to_jsonb(t.%1$I) is distinct from pg_catalog.to_jsonb(e.%1$I::%2$s) and e.%1$I::text is not distinct from again.%1$I::text then %1$L end'
            end,
            c.column_name, pg_catalog.format_type(a.atttypid, a.atttypmod)
          ), ', '),
        rollcall.profile_table(), rollcall.key_match_sql('t', 'e._user_id')
      ) into differences
      from rollcall.profile_columns() c
      join pg_catalog.pg_attribute a on a.attrelid = rollcall.profile_table() and a.attname = c.column_name
      join pg_catalog.pg_type y on y.oid = a.atttypid
      where y.typcategory <> 'D';
      execute differences into wrong_columns using user_id;
    elsif is_expected then
      -- Rollcall's trigger lets the signup through, and says why in an event
      select e.payload ->> 'sqlstate' as code, e.payload ->> 'constraint' as constraint_name, e.payload ->> 'column' as column_name into failed
      from public.user_events e
      where e.user_id = (person ->> 'id')::uuid and e.kind = 'profile_bootstrap_error'
      order by e.id desc
      limit 1;
      code := failed.code;
      constraint_name := failed.constraint_name;
      column_name := failed.column_name;
    end if;
    outcome := case
      when not is_expected then 'not_expected'
      when not has_profile then case when rollcall.speaks_of_a_lock(code) then 'unknown' else 'no_profile' end
      when wrong_columns <> '{}' then 'wrong_profile'
      else 'right_profile'
    end;
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception
    when sqlstate 'RC001' then
      null;
    when others or query_canceled or assert_failure then
      get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
      wrong_columns := null;
      outcome := case
        when rollcall.speaks_of_a_lock(code) or rollcall.speaks_of_the_server(code) or code in ('57014', '25006') then 'unknown'
        else 'blocked'
      end;
  end;
  constraint_name := rollcall.known_constraint(constraint_name);
  column_name := rollcall.known_column(column_name);
  return next;
end
$$;
comment on function rollcall.probe_signup(text) is
  'Tries the signup of one made-up user of a kind and takes it back: right_profile, wrong_profile (with the columns that differ from the definition), no_profile, blocked (with SQLSTATE, constraint and column), not_expected, unknown (a lock, a right), refused (a signup does what cannot be taken back: rollcall.beyond_rollback()). Fires every trigger; sequences advance. Runs as its owner, so it does not see rights that only supabase_auth_admin lacks: rollcall.doctor() does.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000300' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function rollcall.probe_kinds(), rollcall.probe_signup(text) to rollcall_monitor;
