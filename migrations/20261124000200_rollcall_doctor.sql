-- Why profiles go missing, by the catalog and by the data.
--
-- Makes rollcall.doctor(): one row a finding, from one function a check. Each check's text stands also in a file of its
-- own, migrations/doctor/<id>.sql, and is explained under its id in docs/doctor.md.
--
-- A function of the application is judged by its text, since nothing else can be known of it without running it: checks
-- of that kind speak only where the catalog confirms what the text says.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

do $$
begin
  if to_regtype('rollcall.doctor_finding') is null then
    create type rollcall.doctor_finding as (
      severity text, summary text, meaning text, evidence text[], next_step text, fix text
    );
  end if;
end
$$;
comment on type rollcall.doctor_finding is
  'What one check found: severity critical (signups fail or profiles go missing), warning, info, or unknown (it could not look); what is the case, what that means and for whom, what was seen (names from the catalog and counts, never values), what to do, and the SQL that does it (null where no SQL can).';
revoke all on type rollcall.doctor_finding from public;

-- What the checks read --------------------------------------------------------------------------------------------

-- Many checks call these; as plpgsql they are planned once in a connection.

create or replace function rollcall.sees_everything() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  perform rollcall.require_sight();
  return true;
exception when others then
  return false;
end
$$;
comment on function rollcall.sees_everything() is
  'Whether rollcall.require_sight() is content. Checks of the data say nothing where it is not; the check not_all_visible says why.';

create or replace function rollcall.auth_role() returns name
language plpgsql stable set search_path = '' as $$
begin
  return (select pg_catalog.pg_get_userbyid(c.relowner) from pg_catalog.pg_class c where c.oid = 'auth.users'::regclass);
end
$$;
comment on function rollcall.auth_role() is
  'The role that signs people up: the owner of auth.users, supabase_auth_admin.';

create or replace function rollcall.path_of(p_config text[]) returns name[]
language plpgsql stable set search_path = '' as $$
declare
  path constant text := coalesce(
    -- its own, else that of the role that signs people up
    (select substr(c, length('search_path=') + 1) from unnest(p_config) c where c like 'search\_path=%'),
    (
      select substr(c, length('search_path=') + 1)
      from pg_catalog.pg_db_role_setting d cross join unnest(d.setconfig) c
      where d.setrole = (select r.oid from pg_catalog.pg_roles r where r.rolname = rollcall.auth_role()) and c like 'search\_path=%'
        and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database()))
      order by d.setdatabase desc
      limit 1
    ),
    '"$user", public'
  );
begin
  return (
    select array_agg(distinct (case s.schema when '$user' then rollcall.auth_role() else s.schema::name end))
    from (
      select 'pg_catalog' as schema
      union all
      select btrim(p, ' "''') from unnest(string_to_array(path, ',')) p
    ) s
    where s.schema not in ('', 'pg_temp')
  );
end
$$;
comment on function rollcall.path_of(text[]) is
  'The schemas in which a function with these settings looks for names when Supabase Auth signs somebody up.';

-- As it was, but that the functions of the application are looked for first, and by their name before by a pattern: asked
-- of every function that PostgreSQL has, that takes seconds.
create or replace function rollcall.may_make_profiles(p_code text) returns boolean
language sql stable set search_path = '' as $$
  with recursive theirs as materialized (
    select p.oid, p.prosrc, lower(p.proname) as name, '\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(' as call
    from pg_catalog.pg_proc p
    where p.pronamespace = any (array(
      select n.oid from pg_catalog.pg_namespace n where n.nspname !~ '^(pg_.*|information_schema|auth|extensions|rollcall)$'))
  ),
  code (source) as (
    select rollcall.without_comments(p_code) collate "C"
    union
    select rollcall.without_comments(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) collate "C"
    from code
    join theirs p on case when strpos(lower(code.source), p.name) > 0 then code.source ~* p.call else false end
  )
  select exists (
    select from code
    where code.source ~* '\mrollcall\.bootstrap_profile\M|\mexecute\M.*\minsert\M'
      or code.source ~* format(
        '\m(insert|merge)\s+into\s+("?\w+"?\s*\.\s*)?"?%s"?(\W|$)',
        (select regexp_replace(c.relname, '(\W)', '\\\1', 'g') from pg_catalog.pg_class c where c.oid = rollcall.profile_table())
      )
  )
$$;
comment on function rollcall.may_make_profiles(text) is
  'Whether code of the application, or a function that it calls, seems to insert into the profile table.';

create or replace function rollcall.signup_triggers()
returns table (
  trigger_id oid, trigger_name text, definition text, is_enabled boolean, is_before boolean, is_conditional boolean,
  function_id oid, function_name text, code text, runs_as name, is_definer boolean, path name[],
  is_ours boolean, makes_profiles boolean
)
language plpgsql stable set search_path = '' as $$
begin
  return query
    select
      t.oid, t.tgname::text, pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled in ('O', 'A'), t.tgtype::integer & 2 = 2, t.tgqual is not null,
      p.oid, p.oid::regprocedure::text,
      source.without_literals,
      case when p.prosecdef then pg_catalog.pg_get_userbyid(p.proowner) else rollcall.auth_role() end,
      p.prosecdef, rollcall.path_of(p.proconfig),
      kind.is_ours,
      case
        when kind.is_ours then p.prosrc like '%rollcall.bootstrap_profile%'
        -- in a literal, only dynamic SQL makes anything
        when source.code ~* '\mexecute\M' then rollcall.may_make_profiles(source.code)
        else rollcall.may_make_profiles(source.without_literals)
      end
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    cross join lateral (
      select c.code, regexp_replace(c.code, '''(?:[^'']|'''')*''', '''''', 'g') as without_literals
      from (select rollcall.without_comments(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)) as code) c
    ) source
    cross join lateral (
      select p.prosrc like '%rollcall.bootstrap_profile%' or p.oid = to_regprocedure('rollcall.leave_to_later_trigger()') as is_ours
    ) kind
    where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
      and t.tgtype::integer & 4 = 4  -- insert
    order by t.tgtype::integer & 2 = 0, t.tgname collate "C";
end
$$;
comment on function rollcall.signup_triggers() is
  'The triggers that an insert into auth.users runs, in the order in which they fire, each with its function: text without comments and literals, the role that it runs as, where it looks for names, whether it is Rollcall''s, and whether it seems to make profiles.';

create or replace function rollcall.names_in_code(p_code text, p_path name[])
returns table (kind text, command text, name_as_written text, relation regclass, found_elsewhere text, columns text[])
language plpgsql stable set search_path = '' as $$
begin
  return query
    select
      w.kind, w.command, w.name_as_written, w.relation,
      case when w.schema is null and not w.is_known then w.elsewhere end,
      w.columns
    from (
      select distinct on (n.kind, n.command, n.schema, n.name)
        n.kind, n.command, n.schema, concat_ws('.', n.schema, n.name) as name_as_written, n.columns,
        here.relation,
        case n.kind
          when 'relation' then here.relation is not null
          when 'type' then exists (
            select from pg_catalog.pg_type t join pg_catalog.pg_namespace s on s.oid = t.typnamespace where t.typname = n.name and s.nspname = any (p_path))
          else exists (
            select from pg_catalog.pg_proc f join pg_catalog.pg_namespace s on s.oid = f.pronamespace where f.proname = n.name and s.nspname = any (p_path))
        end as is_known,
        (
          select min(s.nspname)
          from pg_catalog.pg_namespace s
          where s.nspname !~ '^(pg_|information_schema$|rollcall$)'
            and case n.kind
              when 'relation' then exists (
                select from pg_catalog.pg_class c where c.relname = n.name and c.relnamespace = s.oid and c.relkind in ('r', 'p', 'v', 'm', 'f'))
              when 'type' then exists (select from pg_catalog.pg_type t where t.typname = n.name and t.typnamespace = s.oid)
              else exists (select from pg_catalog.pg_proc f where f.proname = n.name and f.pronamespace = s.oid)
            end
        ) as elsewhere
      from (
        -- tables that are written to, with the columns that are named
        select
          'relation' as kind, regexp_replace(lower(m[1]), '\s+', ' ', 'g') as command,
          case when m[3] is not null then parts.first end as schema, coalesce(parts.second, parts.first) as name,
          case when m[4] is not null then (
            select array_agg(case when c ~ '"' then btrim(c, E' \n\t\r"') else lower(btrim(c, E' \n\t\r')) end) from unnest(string_to_array(m[4], ',')) c) end as columns
        from regexp_matches(
          p_code,
          '\m(insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?("[^"]+"|\w+)(?:\s*\.\s*("[^"]+"|\w+))?(?:\s+as\s+\w+)?(?:\s*\(([^()]*)\))?',
          'gi'
        ) m
        cross join lateral (
          select
            case when m[2] like '"%' then btrim(m[2], '"') else lower(m[2]) end as first,
            case when m[3] like '"%' then btrim(m[3], '"') else lower(m[3]) end as second
        ) parts
        -- "on conflict do update set", "for update skip locked"
        where not (lower(m[1]) = 'update' and lower(m[2]) in ('set', 'skip', 'nowait', 'of', 'on'))
        union all
        select 'relation', 'select', null, lower(m[1]), null
        from regexp_matches(p_code, '\m(?:from|join)\s+(?!only\M)(\w+)(?!\s*[\w]*\s*[.(])', 'gi') m
        -- a name that the statement defines for itself
        where p_code !~* ('\m' || m[1] || '\s+as\s*\(')
        union all
        select 'type', 'cast', null, lower(m[1]), null
        from regexp_matches(p_code, '(?:::|\mcast\s*\([^()]*\mas)\s*([a-z_]\w*)(?!\s*\.|\w)', 'gi') m
        union all
        select 'function', 'call', null, lower(m[1]), null
        from regexp_matches(p_code, '(?<![\w".])([a-z_]\w*)\s*\(', 'gi') m
        -- "insert into profiles (id)" calls nothing
        where p_code !~* ('\m(into|update|from|join|table)\s+' || m[1] || '\s*\(')
      ) n
      left join lateral (
        select c.oid::regclass as relation
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace s on s.oid = c.relnamespace
        where c.relname = n.name and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and (s.nspname = n.schema or n.schema is null and s.nspname = any (p_path))
        order by array_position(p_path, s.nspname)
        limit 1
      ) here on n.kind = 'relation'
    ) w;
end
$$;
comment on function rollcall.names_in_code(text, name[]) is
  'The tables, types and functions that a text names without dynamic SQL: as written, the relation behind it (null: none in reach), the schema where a name without one is found although it is not in reach, and the columns that an insert names.';

create or replace function rollcall.sample_users() returns table (kind text, users_row jsonb)
language plpgsql volatile set search_path = '' as $$
begin
  return query
    with odd (metadata) as (
      -- every key that the definition or a signup function reads, holding what nobody expects
      select coalesce(jsonb_object_agg(k.key, E'it''s "odd" \\ \u2603 ; -- ' || repeat('x', 300)), '{}')
        || '{"full_name": ["not", {"a": "name"}], "name": 12345.678, "avatar_url": {"deep": [[[[]]]]}, "account_type": "ADMIN", "age": "no number", "empty": "", "null": null}'
      from (
        select distinct m[1] as key
        from (
          select pg_catalog.pg_get_viewdef(to_regclass('rollcall.expected_profile')) as code
          union all
          select p.prosrc
          from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
          where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
        ) read
        cross join lateral regexp_matches(read.code, 'raw_user_meta_data"?\s*->>?\s*''(\w+)''', 'gi') m
      ) k
    )
    select
      s.kind,
      jsonb_build_object(
        'id', s.id, 'instance_id', '00000000-0000-0000-0000-000000000000', 'aud', 'authenticated', 'role', '',
        'encrypted_password', '', 'confirmation_token', '', 'recovery_token', '', 'email_change', '', 'email_change_token_new', '',
        'email_change_token_current', '', 'email_change_confirm_status', 0, 'phone_change', '', 'phone_change_token', '',
        'reauthentication_token', '', 'created_at', now(), 'updated_at', now(),
        'is_sso_user', s.kind = 'sso', 'is_anonymous', s.kind = 'anonymous',
        'email', case when s.kind not in ('phone', 'anonymous', 'web3') then 'probe-' || left(s.id::text, 8) || '@example.invalid' end,
        'phone', case when s.kind = 'phone' then '999' || lpad((random() * 999999999999)::bigint::text, 12, '0') end,
        'raw_app_meta_data', case when s.provider is null then '{}' else jsonb_build_object('provider', s.provider, 'providers', array[s.provider]) end,
        'raw_user_meta_data', s.metadata
      )
    from (
      select k.kind, k.provider, gen_random_uuid() as id, k.metadata
      from odd
      cross join lateral (
        values
          (1, 'email', 'email', '{"email_verified": false, "phone_verified": false}'::jsonb),
          (2, 'phone', 'phone', '{"email_verified": false, "phone_verified": false}'),
          (3, 'oauth', 'google', '{"iss": "https://accounts.google.com", "full_name": "Rollcall Probe", "name": "Rollcall Probe", "avatar_url": "https://example.invalid/a.png", "picture": "https://example.invalid/a.png", "email_verified": true, "phone_verified": false}'),
          (4, 'sso', 'sso:00000000-0000-0000-0000-000000000000', '{"email_verified": false, "phone_verified": false}'),
          (5, 'anonymous', null, '{}'),
          (6, 'web3', 'web3', '{"custom_claims": {"chain": "ethereum", "address": "0x0"}, "email_verified": false, "phone_verified": false}'),
          (7, 'admin_created', 'email', '{}'),
          (8, 'odd_metadata', 'email', odd.metadata)
      ) k (position, kind, provider, metadata)
      order by k.position
    ) s;
end
$$;
comment on function rollcall.sample_users() is
  'One made-up user of every kind, as the row that Supabase Auth inserts: email, phone, oauth, sso, anonymous, web3, admin_created, odd_metadata. Nothing is written.';

create or replace function rollcall.sample_profiles()
returns table (kind text, profile jsonb, is_expected boolean, failed_with text)
language plpgsql volatile set search_path = '' as $$
declare
  definition constant text := rtrim(pg_catalog.pg_get_viewdef(to_regclass('rollcall.expected_profile')), E'; \n');
  has_alias constant boolean := definition ~ '\mauth\.users \w';
  over_sample text;
  sample record;
begin
  if (select count(*) from regexp_matches(definition, '\mauth\.users\M', 'g')) <> 1 then
    return;
  end if;
  over_sample := regexp_replace(
    definition, '\mauth\.users\M',
    '(select r.* from pg_catalog.jsonb_populate_record(null::auth.users, sample.users_row) r)' || case when has_alias then '' else ' users' end
  );
  over_sample := format(
    'select sample.kind, pg_catalog.to_jsonb(e) as profile from rollcall.sample_users() sample left join lateral (%s) e on true where $1 is null or sample.kind = $1',
    over_sample
  );
  begin
    return query execute
      format('select x.kind, x.profile, x.profile is not null, null::text from (%s) x', over_sample) using null::text;
    return;
  exception when others then
    null;
  end;
  -- somebody's cannot be computed: one by one, to find out whose
  for sample in select * from rollcall.sample_users() loop
    kind := sample.kind;
    profile := null;
    failed_with := null;
    is_expected := true;
    begin
      execute format('select x.profile from (%s) x', over_sample) into profile using sample.kind;
      is_expected := profile is not null;
    exception when others then
      failed_with := sqlstate;
    end;
    return next;
  end loop;
end
$$;
comment on function rollcall.sample_profiles() is
  'What rollcall.expected_profile gives for one made-up user of every kind, found out by reading its text over that row instead of auth.users: no row where it reads auth.users more than once. failed_with: the SQLSTATE with which it cannot be computed.';

-- The checks, in the order of doctor() --------------------------------------------------------------------------

-- Whoever owns the functions of Rollcall must see every row, else a check of the data would read hidden rows as none.
create or replace function rollcall.doctor_not_all_visible() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' as $$
declare
  reason text;
  hint text;
begin
  perform rollcall.require_sight();
exception when others then
  get stacked diagnostics reason = message_text, hint = pg_exception_hint;
  return next row(
    'unknown',
    case when reason like 'rollcall: %' then substr(reason, length('rollcall: ') + 1) else format('users and profiles cannot be compared (SQLSTATE %s)', sqlstate) end,
    'How many users have no profile is not known, and the checks that read users or profiles say nothing.',
    array[format('role %s', current_user), format('SQLSTATE %s', sqlstate)],
    coalesce(case when reason like 'rollcall: %' then hint end, 'Run the migrations again: rollcall migrate --again.'),
    null
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_not_all_visible() is
  'Check not_all_visible: hidden rows, or a definition that is incomplete.';

-- The statement that makes profiles, for signup and repair, cannot even be planned: the profile table was renamed, moved
-- or changed, a right is gone, or functions are missing.
create or replace function rollcall.doctor_profiles_cannot_be_made() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' as $$
declare
  reason constant text := rollcall.profile_fault();
begin
  if reason is null then
    return;
  end if;
  return next row(
    'critical',
    'neither signup nor repair can make a profile: ' || reason,
    'Where Rollcall''s trigger makes the profiles, everyone who signs up from now on is without one.',
    array[
      format('profile table: %s', coalesce(rollcall.profile_table()::text, 'none')),
      format('key: %s', coalesce(rollcall.profile_key()::text, 'none'))
    ],
    'Where the profile table changed, edit the view rollcall.expected_profile to fit it and run: select rollcall.adopt_profile_table(). Where functions are missing: rollcall migrate --again.',
    null
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_profiles_cannot_be_made() is
  'Check profiles_cannot_be_made: the definition does not fit the profile table, or functions are missing.';

-- No trigger that a signup runs makes the profile: it was never created, or went with a restore, a branch or a function
-- that was dropped with cascade. Triggers of other teams may stand there, and make no profile.
create or replace function rollcall.doctor_signup_trigger_missing() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    case when exists (select from rollcall.signup_triggers())
      then 'auth.users has no trigger that makes profiles, so the next signup gets no profile'
      else 'auth.users has no trigger for signups, so the next signup gets no profile'
    end,
    'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.',
    array(
      select 'no trigger on auth.users makes profiles at an insert'
      union all
      select format('trigger %s runs %s, which inserts into no profile table', t.trigger_name, t.function_name)
      from rollcall.signup_triggers() t
      where not t.is_ours
      union all
      select format('function %s is there, and no trigger runs it', p.oid::regprocedure)
      from pg_catalog.pg_proc p
      where p.oid = to_regprocedure('public.handle_new_user()')
    ),
    'Run the migrations again: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
    case when to_regprocedure('rollcall.on_signup()') is not null then
      format(
        'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function %s;',
        coalesce(
          (
            select p.oid::regproc || '()'
            from pg_catalog.pg_proc p
            where p.oid = to_regprocedure('public.handle_new_user()') and p.prorettype = 'trigger'::regtype
              and p.prosrc like '%rollcall.bootstrap_profile%'
          ),
          'rollcall.on_signup()'
        )
      )
    end
  where not exists (select from rollcall.signup_triggers() t where t.makes_profiles)
    and rollcall.signup_trigger_state() <> 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_missing() is
  'Check signup_trigger_missing: no trigger of auth.users makes profiles at signup.';

-- The trigger is there and switched off, or fires only under replication. Whoever looks for its name finds it.
create or replace function rollcall.doctor_signup_trigger_disabled() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    'the trigger for signups is switched off, so the next signup gets no profile',
    'Everyone who signs up from now on is without a profile. Supabase Auth notices nothing, and neither do its logs.',
    array_agg(format('trigger %s runs %s', t.trigger_name, t.function_name) order by t.trigger_name),
    'Run the migrations again: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
    -- made anew, it is switched on; "enable trigger" is for the owner of auth.users alone
    (array_agg(regexp_replace(t.definition, '^CREATE TRIGGER', 'create or replace trigger') || ';' order by not t.is_ours, t.trigger_name))[1]
  from rollcall.signup_triggers() t
  where t.makes_profiles
  having bool_or(not t.is_enabled) and not bool_or(t.is_enabled) and rollcall.signup_trigger_state() <> 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_disabled() is
  'Check signup_trigger_disabled: the trigger that makes profiles does not fire.';

-- Something of the application makes the profile after the signup's own insert: at commit, with the identity, at the
-- confirmation. Rollcall stays out of its way, and cannot tell whether it comes.
create or replace function rollcall.doctor_signup_trigger_left_to_application() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'unknown',
    'new profiles are left to a trigger of the application that comes later; whether it makes them is not known',
    'Who never comes that far (who does not confirm, is made by an administrator, stays anonymous) may have no profile.',
    array(
      select format('trigger %s on %s runs %s', g.tgname, g.tgrelid::regclass, g.tgfoid::regprocedure)
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_class c on c.oid = g.tgrelid
      join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where c.relnamespace = 'auth'::regnamespace and not g.tgisinternal and g.tgtype::integer & (4 | 16) <> 0
        and (g.tgrelid <> 'auth.users'::regclass or g.tgtype::integer & 71 <> 5 or g.tgdeferrable)
        and rollcall.may_make_profiles(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc))
      order by 1
    ),
    'To let Rollcall make them, drop that trigger and run the migrations again, which name it: rollcall migrate --again.',
    null
  where rollcall.signup_trigger_state() = 'left_to_application'
$$;
comment on function rollcall.doctor_signup_trigger_left_to_application() is
  'Check signup_trigger_left_to_application: profiles come from a later trigger of the application.';

-- A WHEN clause, or one on a column, leaves out users without a word. Who must have a profile is said by
-- rollcall.expected_profile; where Rollcall's own trigger has a condition, the two disagree sooner or later.
create or replace function rollcall.doctor_signup_trigger_conditional() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    case when t.is_ours then 'critical' else 'warning' end,
    format('the trigger %s makes profiles under a condition only', t.trigger_name),
    'Whoever does not fulfil the condition signs up without a profile, and nobody sees an error.',
    array[t.definition],
    'Drop the condition; who needs no profile is said by the where of rollcall.expected_profile. Then repair who was missed: rollcall backfill --apply.',
    format('create or replace trigger %I after insert on auth.users for each row execute function %s;', t.trigger_name, t.function_name)
  from rollcall.signup_triggers() t
  where t.makes_profiles and t.is_enabled and t.is_conditional
    and not exists (
      select from rollcall.signup_triggers() other where other.makes_profiles and other.is_enabled and not other.is_conditional)
$$;
comment on function rollcall.doctor_signup_trigger_conditional() is
  'Check signup_trigger_conditional: the trigger that makes profiles has a WHEN clause.';

-- Two triggers make the same profile; the later one inserts plainly, fails on the first one's row, and takes the signup
-- with it. Triggers fire in the order of their names.
create or replace function rollcall.doctor_signup_triggers_collide() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the trigger %s makes the profile once more and fails on the one that %s made, so nobody can sign up', later.trigger_name, earlier.trigger_name),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up, and keeps nothing of it.',
    array[
      format('trigger %s runs %s', earlier.trigger_name, earlier.function_name),
      format('trigger %s runs %s, which inserts without on conflict', later.trigger_name, later.function_name)
    ],
    case when earlier.is_ours
      then 'Let Rollcall''s come last: rollcall migrate --again. Or drop the other, if it only makes the profile.'
      else 'Drop one of them, or let the later one insert with on conflict do nothing.'
    end,
    case when earlier.is_ours and earlier.trigger_name = 'on_auth_user_created' then
      'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.leave_to_later_trigger();'
      || ' create or replace trigger "~~~_rollcall_on_auth_user_created" after insert on auth.users for each row execute function rollcall.on_signup();'
    else
      format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', later.trigger_name)
    end
  from (
    select t.*, row_number() over () as position from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled and not t.is_conditional
  ) later
  join lateral (
    select e.* from (
      select t.*, row_number() over () as position from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled and not t.is_conditional
    ) e
    where e.position < later.position
    order by e.position
    limit 1
  ) earlier on true
  where not later.is_ours
    -- its own insert, and nothing that would spare or catch it
    and exists (
      select from rollcall.names_in_code(later.code, later.path) n
      where n.command = 'insert into' and n.relation = rollcall.profile_table())
    and later.code !~* '\mon\s+conflict\M|\mexception\s+when\M|\mnot\s+exists\M|\mif\s+found\M|\mif\s+not\s+found\M'
$$;
comment on function rollcall.doctor_signup_triggers_collide() is
  'Check signup_triggers_collide: a later trigger inserts a profile that is there already.';

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

-- Without "security definer" a trigger function runs as supabase_auth_admin, which has no rights in the application's
-- schemas. For postgres, who tries it by hand, it works.
create or replace function rollcall.doctor_signup_function_runs_as_caller() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not write to %s, so nobody can sign up',
      t.function_name, t.runs_as, string_agg(distinct n.relation::text, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied), and keeps nothing of it.',
    array_agg(distinct format('%s lacks %s on %s', t.runs_as, n.needed, n.relation)) || format('trigger %s', t.trigger_name),
    'Let the function run as its owner.',
    format('alter function %s security definer%s;', t.function_name,
      -- as its owner it must not look for names where anybody may put some
      case when not exists (select from pg_catalog.pg_proc p cross join unnest(p.proconfig) c where p.oid = t.function_id and c like 'search\_path=%')
        then ' set search_path = pg_catalog, public, extensions, pg_temp' else '' end)
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, case w.command when 'insert into' then 'insert' when 'delete from' then 'delete' when 'merge into' then 'insert' else 'update' end as needed
    from rollcall.names_in_code(
      t.code,
      -- what it would write to, wherever it looks
      case when 'public' = any (t.path) then t.path else t.path || 'public'::name end
    ) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is not null
  ) n on not has_table_privilege(t.runs_as, n.relation, n.needed)
    and not (n.needed in ('insert', 'update') and has_any_column_privilege(t.runs_as, n.relation, n.needed))
  where t.is_enabled and not t.is_definer
  group by t.function_id, t.function_name, t.trigger_name, t.runs_as
$$;
comment on function rollcall.doctor_signup_function_runs_as_caller() is
  'Check signup_function_runs_as_caller: a signup function without security definer writes where supabase_auth_admin may not.';

-- A function that runs as its owner needs its owner's rights: the owner was changed, or a table was made anew by another
-- role.
create or replace function rollcall.doctor_signup_function_owner_lacks_rights() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not write to %s, so nobody can sign up',
      t.function_name, t.runs_as, string_agg(distinct n.relation::text, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied), and keeps nothing of it.',
    array_agg(distinct format('%s lacks %s on %s', t.runs_as, n.needed, n.relation)) || format('trigger %s', t.trigger_name),
    'Grant the right to the owner of the function, or give the function to the owner of the table.',
    string_agg(distinct format('grant %s on %s to %I;', n.needed, n.relation, t.runs_as), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, case w.command when 'insert into' then 'insert' when 'delete from' then 'delete' when 'merge into' then 'insert' else 'update' end as needed
    from rollcall.names_in_code(t.code, t.path) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is not null
  ) n on not has_table_privilege(t.runs_as, n.relation, n.needed)
    and not (n.needed in ('insert', 'update') and has_any_column_privilege(t.runs_as, n.relation, n.needed))
  where t.is_enabled and t.is_definer and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name, t.runs_as
$$;
comment on function rollcall.doctor_signup_function_owner_lacks_rights() is
  'Check signup_function_owner_lacks_rights: the owner of a security definer signup function may not write where it writes.';

-- DROP SCHEMA public and a reset by a migration tool take the usage of the schema away, from everyone.
create or replace function rollcall.doctor_signup_function_lacks_schema() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s runs as %s, which may not use the schema %s, so nobody can sign up', t.function_name, t.runs_as, s.nspname),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, permission denied for schema), and keeps nothing of it.',
    array[format('%s lacks usage on schema %s', t.runs_as, s.nspname), format('trigger %s', t.trigger_name)],
    'Grant the usage of the schema.',
    format('grant usage on schema %I to %I;', s.nspname, t.runs_as)
  from rollcall.signup_triggers() t
  join lateral (
    select distinct c.relnamespace
    from rollcall.names_in_code(t.code, t.path) w
    join pg_catalog.pg_class c on c.oid = w.relation
    where w.kind = 'relation' and w.command <> 'select'
  ) n on true
  join pg_catalog.pg_namespace s on s.oid = n.relnamespace
  where t.is_enabled and not t.is_ours and not has_schema_privilege(t.runs_as, s.oid, 'usage')
$$;
comment on function rollcall.doctor_signup_function_lacks_schema() is
  'Check signup_function_lacks_schema: the role that a signup function runs as may not use the schema it writes to.';

-- Row level security binds a function's owner who neither owns the table nor bypasses it, and also the table's owner where
-- it is forced. No policy for signed-in users helps: nobody is signed in during a signup.
create or replace function rollcall.doctor_row_level_security_blocks_signup() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('row level security keeps the function %s, which runs as %s, from inserting into %s, so nobody can sign up',
      t.function_name, t.runs_as, c.oid::regclass),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, row-level security policy), and keeps nothing of it.',
    array[
      format('%s is owned by %s%s', c.oid::regclass, pg_catalog.pg_get_userbyid(c.relowner), case when c.relforcerowsecurity then ', and row level security is forced' else '' end),
      format('%s does not bypass row level security', t.runs_as), format('trigger %s', t.trigger_name)
    ],
    'Let the function run as a role that row level security does not bind (postgres on Supabase), or allow its role the insert.',
    case when t.is_definer and c.relforcerowsecurity and pg_has_role(t.runs_as, c.relowner, 'usage')
      then format('alter table %s no force row level security;', c.oid::regclass)
      else format('create policy rollcall_signup on %s for insert to %I with check (true);', c.oid::regclass, t.runs_as)
    end
  from rollcall.signup_triggers() t
  join lateral (
    select distinct w.relation from rollcall.names_in_code(t.code, t.path) w where w.kind = 'relation' and w.command = 'insert into'
  ) n on n.relation is not null
  join pg_catalog.pg_class c on c.oid = n.relation and c.relrowsecurity
  join pg_catalog.pg_roles r on r.rolname = t.runs_as and not r.rolsuper and not r.rolbypassrls
  where t.is_enabled and not t.is_ours
    and has_table_privilege(t.runs_as, c.oid, 'insert')
    and (c.relforcerowsecurity or not pg_has_role(t.runs_as, c.relowner, 'usage'))
    -- of a policy whose condition can be anything, it is not known
    and not exists (
      select from pg_catalog.pg_policy y
      where y.polrelid = c.oid and y.polcmd in ('a', '*') and y.polpermissive
        and exists (select from unnest(y.polroles) member where case when member = 0 then true else pg_has_role(t.runs_as, member, 'usage') end)
        and coalesce(pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid), pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'true') !~ '\m(auth\.)?(uid|jwt|role)\(|request\.jwt'
    )
$$;
comment on function rollcall.doctor_row_level_security_blocks_signup() is
  'Check row_level_security_blocks_signup: the role that a signup function runs as is bound by row level security of the table it inserts into.';

-- Supabase Auth's search_path is auth. A function that names its tables, types or functions without a schema finds them
-- when a person tries it, and not when somebody signs up. One that names everything in full needs no search_path.
create or replace function rollcall.doctor_signup_function_search_path() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s looks for %s where it is not, so nobody can sign up', t.function_name, string_agg(distinct n.name_as_written, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42P01, 42704 or 42883, does not exist), and keeps nothing of it.',
    array_agg(distinct format('%s %s is in the schema %s', n.kind, n.name_as_written, n.found_elsewhere))
      || format('it looks in: %s', array_to_string(t.path, ', ')) || format('trigger %s', t.trigger_name),
    'Set the search_path of the function, or name everything with its schema.',
    format(
      'alter function %s set search_path = %s, pg_temp;', t.function_name,
      (
        select string_agg(quote_ident(s), ', ' order by s <> 'pg_catalog', s)
        from (select unnest(t.path) union select unnest(array_agg(n.found_elsewhere))) x (s)
      )
    )
  from rollcall.signup_triggers() t
  join lateral (
    select w.kind, w.name_as_written, w.found_elsewhere from rollcall.names_in_code(t.code, t.path) w where w.found_elsewhere is not null
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name, t.path
$$;
comment on function rollcall.doctor_signup_function_search_path() is
  'Check signup_function_search_path: a signup function names something without a schema that is out of its reach.';

-- A table or column was renamed or dropped, and the function still has the old name: PostgreSQL reads the text of a
-- function when it runs.
create or replace function rollcall.doctor_signup_function_names_unknown_object() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s writes to %s, which does not exist, so nobody can sign up', t.function_name, string_agg(distinct n.thing, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42P01 or 42703, does not exist), and keeps nothing of it.',
    array_agg(distinct n.thing || ' does not exist') || format('trigger %s', t.trigger_name),
    'Let the function use the names that there are now. Or, if it only makes the profile, let Rollcall''s take its place.',
    case when to_regprocedure('rollcall.on_signup()') is not null then
      format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
    end
  from rollcall.signup_triggers() t
  join lateral (
    select 'table ' || w.name_as_written as thing
    from rollcall.names_in_code(t.code, t.path) w
    where w.kind = 'relation' and w.command <> 'select' and w.relation is null and w.found_elsewhere is null
      -- made by the function itself
      and t.code !~* '\mcreate\s+(temp|temporary|table)\M'
    union all
    select format('column %s of %s', c.name, w.relation)
    from rollcall.names_in_code(t.code, t.path) w
    cross join unnest(w.columns) c (name)
    where w.kind = 'relation' and w.command = 'insert into' and w.relation is not null and c.name ~ '^\w+$'
      and not exists (
        select from pg_catalog.pg_attribute a where a.attrelid = w.relation and a.attname = c.name and a.attnum > 0 and not a.attisdropped)
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_names_unknown_object() is
  'Check signup_function_names_unknown_object: a signup function writes to a table or column that is not there.';

-- A column became mandatory after the function was written.
create or replace function rollcall.doctor_signup_function_leaves_column_empty() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s gives no value for %s, which must have one, so nobody can sign up', t.function_name, string_agg(distinct n.thing, ', ')),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (23502, not null), and keeps nothing of it.',
    array_agg(distinct n.thing || ' is not null and has no default') || format('trigger %s', t.trigger_name),
    'Give the column a default, let it be null, or let the function fill it.',
    string_agg(distinct format('alter table %s alter column %I drop not null;', n.relation, n.attname), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, a.attname, format('column %s of %s', a.attname, w.relation) as thing
    from rollcall.names_in_code(t.code, t.path) w
    join pg_catalog.pg_attribute a on a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type d on d.oid = a.atttypid
    where w.kind = 'relation' and w.command = 'insert into' and w.columns is not null
      and a.attnotnull and not a.atthasdef and d.typdefault is null and a.attidentity = '' and a.attgenerated = ''
      and a.attname <> all (w.columns)
      -- a trigger may fill it before it is looked at
      and not exists (
        select from pg_catalog.pg_trigger g
        where g.tgrelid = w.relation and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  ) n on true
  where t.is_enabled and not t.is_ours
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_leaves_column_empty() is
  'Check signup_function_leaves_column_empty: a signup function inserts without a column that must have a value.';

-- Anonymous, phone and wallet users have no e-mail address, e-mail users no phone number, and metadata holds what the
-- client sent. A function that copies such a value into a column that must have one works for the kind it was tried with.
create or replace function rollcall.doctor_signup_function_needs_email() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the function %s copies a value that some users do not have into %s, which must have one, so these cannot sign up',
      t.function_name, string_agg(distinct format('column %s of %s', n.attname, n.relation), ', ')),
    'Who signs up anonymously, by phone or by wallet has no e-mail address, by e-mail no phone number: Supabase Auth answers "Database error saving new user" to them (23502, not null), and keeps nothing of it. Others get their profile.',
    array_agg(distinct format('column %s of %s is not null and gets %s', n.attname, n.relation, n.value)) || format('trigger %s', t.trigger_name),
    'Let the column be null, or let the function give a value of its own with coalesce.',
    string_agg(distinct format('alter table %s alter column %I drop not null;', n.relation, n.attname), ' ')
  from rollcall.signup_triggers() t
  join lateral (
    select w.relation, a.attname, v.value
    from rollcall.names_in_code(t.code, t.path) w
    -- a list of plain values, in which a comma separates two of them
    cross join lateral regexp_matches(
      t.code, '\minsert\s+into\s+(?:"?\w+"?\s*\.\s*)?"?' || (select c.relname from pg_catalog.pg_class c where c.oid = w.relation) || '"?\s*\([^()]*\)\s*values\s*\(((?:[^()]|\([^()]*\))*)\)', 'gi') m
    cross join lateral (
      select btrim(x, E' \n\t\r') as value, position
      from regexp_split_to_table(regexp_replace(m[1], '\([^()]*\)', '()', 'g'), ',') with ordinality as s (x, position)
    ) v
    join pg_catalog.pg_attribute a on a.attrelid = w.relation and a.attname = w.columns[v.position] and a.attnotnull and not a.attisdropped
    where w.kind = 'relation' and w.command = 'insert into' and w.columns is not null
      and v.value ~* '^new\s*\.\s*(email|phone)(\s*::\s*\w+)?$|^new\s*\.\s*raw_(user|app)_meta_data\s*->>?\s*''''(\s*::\s*\w+)?$'
      and not exists (
        select from pg_catalog.pg_trigger g
        where g.tgrelid = w.relation and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  ) n on true
  where t.is_enabled and not t.is_ours and not t.is_conditional
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_needs_email() is
  'Check signup_function_needs_email: a signup function copies e-mail, phone or metadata, which may be null, into a column that may not.';

-- What a client sends as metadata is anything. A cast to an enum, a uuid or a number fails on what does not fit, and takes
-- the signup with it.
create or replace function rollcall.doctor_signup_function_casts_metadata() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('the function %s casts metadata of the user to %s, which fails on what does not fit', t.function_name, string_agg(distinct m.type_name, ', ')),
    'Whose app sends another value than the cast expects (an old label, an empty text) cannot sign up: "Database error saving new user" (22P02).',
    array_agg(distinct 'cast to ' || m.type_name) || format('trigger %s', t.trigger_name),
    'Compare with a list of allowed values before the cast, and fall back to a default. Or, if it only makes the profile, let Rollcall''s take its place.',
    format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
  from rollcall.signup_triggers() t
  cross join lateral (
    select lower(coalesce(found[1], found[2])) as type_name
    from regexp_matches(
      t.code,
      'raw_user_meta_data\s*->>?\s*''''\s*\)*\s*(?:,\s*''''\s*\)\s*)*::\s*((?:\w+\.)?\w+)|\mcast\s*\([^;]*?raw_user_meta_data\s*->>?\s*''''[^;]*?\mas\s+((?:\w+\.)?\w+)', 'gi') found
  ) m
  where t.is_enabled and not t.is_ours
    and m.type_name !~ '^(pg_catalog\.)?(text|varchar|character|bpchar|citext|json|jsonb|name)$'
    and t.code !~* '\mexception\s+when\M'
  group by t.function_id, t.function_name, t.trigger_name
$$;
comment on function rollcall.doctor_signup_function_casts_metadata() is
  'Check signup_function_casts_metadata: a signup function casts raw_user_meta_data to a type that not every text fits.';

-- "exception when others then return new" lets the signup through, which is right, and forgets why there is no profile.
create or replace function rollcall.doctor_signup_function_hides_errors() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('the function %s hides every error', t.function_name),
    'When the profile cannot be made, the user signs up without one, and neither Supabase Auth''s logs nor an event says why.',
    array['exception when others, and no error is raised again', format('trigger %s', t.trigger_name)],
    'Keep the error''s SQLSTATE where you look for it, or let it through. Rollcall''s function keeps both: the signup, and an event with the reason.',
    format('create or replace trigger %I after insert on auth.users for each row execute function rollcall.on_signup();', t.trigger_name)
  from rollcall.signup_triggers() t
  cross join lateral (select substring(t.code from '(?i)\mexception\s+when\s+others\M.*') as handler) h
  where t.is_enabled and not t.is_ours and t.makes_profiles
    and h.handler !~* '\mraise\s*(;|exception|sqlstate|using|'''')|\minsert\s+into\M|\mperform\M'
$$;
comment on function rollcall.doctor_signup_function_hides_errors() is
  'Check signup_function_hides_errors: a function of the application that makes profiles catches everything and keeps nothing.';

-- A column of the profile table must have a value, has no default, and the definition does not give one.
create or replace function rollcall.doctor_unfilled_columns() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    case when rollcall.signup_trigger_state() = 'foreign' then 'a repair would make no profile' else 'the next signup gets no profile' end
      || ': the table requires values that rollcall.expected_profile does not give: ' || string_agg(c, ', '),
    'Every profile that Rollcall makes, at signup or by a repair, fails on these columns.',
    array_agg(format('column %s is not null and has no default', c)),
    'Give these columns a default, or add them by name to the view rollcall.expected_profile.',
    string_agg(format('alter table %s alter column %I drop not null;', rollcall.profile_table(), c), ' ')
  from rollcall.unfilled_columns() c
  having count(*) > 0
$$;
comment on function rollcall.doctor_unfilled_columns() is
  'Check unfilled_columns: the definition leaves a column empty that must have a value.';

-- The definition fills a column that must have a value from one that some users do not have: e-mail, phone, a key of the
-- metadata.
create or replace function rollcall.doctor_definition_gives_null() returns setof rollcall.doctor_finding
language sql volatile set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    format('users of some kinds get no profile: rollcall.expected_profile gives %s no value, and the table requires one', a.attname),
    'Without a profile stay: ' || string_agg(s.kind, ', ') || '.',
    array_agg(format('%s: column %s', s.kind, a.attname)),
    'Let the column be null, or give it a value of its own in the view: coalesce(u.email, ...). Or leave these users out by the where of the view.',
    format('alter table %s alter column %I drop not null;', rollcall.profile_table(), a.attname)
  from rollcall.sample_profiles() s
  join pg_catalog.pg_attribute a
    on a.attrelid = rollcall.profile_table() and a.attnotnull and a.attnum > 0 and not a.attisdropped
  where s.profile ? a.attname and s.profile -> a.attname = 'null'
    -- a trigger of the application may fill it before it is looked at
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = a.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
  group by a.attname, a.attnum
  order by a.attnum
$$;
comment on function rollcall.doctor_definition_gives_null() is
  'Check definition_gives_null: for some kind of user the definition gives null to a column that must have a value.';

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

-- The definition casts what a user wrote: it fails on what does not fit the type (an old label of an enum, a text that is
-- no uuid or is too long).
create or replace function rollcall.doctor_definition_cannot_be_computed() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  select_list text;
  sample record;
  codes text[] := '{}';
  kinds text[] := '{}';
  fitting record;
begin
  select string_agg(format('(($1 ->> %L)::%s)', c.column_name, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ')
    into select_list
  from rollcall.profile_columns() c
  join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = c.column_name and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  -- of other types the text in JSON is not the text of PostgreSQL
  where t.typcategory in ('S', 'E', 'U', 'N', 'B') and t.typtype <> 'd' and t.typelem = 0;
  for sample in select * from rollcall.sample_profiles() loop
    if sample.failed_with is null and sample.profile is not null and select_list is not null then
      begin
        execute format('select row(%s)', select_list) into fitting using sample.profile;
        -- a cast cuts what is too long; the insert refuses it
        if exists (
          select
          from rollcall.profile_columns() c
          join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = c.column_name and not a.attisdropped
          where a.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4
            and length(rtrim(sample.profile ->> c.column_name)) > a.atttypmod - 4
        ) then
          sample.failed_with := '22001';
        end if;
      exception when others then
        sample.failed_with := sqlstate;
      end;
    end if;
    if sample.failed_with is not null then
      codes := codes || sample.failed_with;
      kinds := kinds || sample.kind;
    end if;
  end loop;
  if cardinality(kinds) > 0 then
    return next row(
      case when rollcall.signup_trigger_state() = 'foreign' or kinds = array['odd_metadata'] then 'warning' else 'critical' end,
      'users of some kinds get no profile: rollcall.expected_profile cannot be computed for them',
      'Without a profile stay: ' || array_to_string(kinds, ', ') || '. Of odd_metadata: whoever''s app sends what the definition does not expect.',
      array(select distinct format('SQLSTATE %s', c) from unnest(codes) c),
      'Compare what the user wrote with a list of allowed values, or cut it (left), before it is cast in the view.',
      null
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_definition_cannot_be_computed() is
  'Check definition_cannot_be_computed: the definition fails, or gives what its column cannot take, for some kind of user.';

-- The definition gives users without a value all the same one (an empty text), into a column that must be unique: the
-- first of them gets a profile, and nobody after.
create or replace function rollcall.doctor_definition_repeats_unique_value() returns setof rollcall.doctor_finding
language sql volatile set search_path = '' as $$
  select
    case when rollcall.signup_trigger_state() = 'foreign' then 'warning' else 'critical' end,
    format('users of some kinds get no profile: rollcall.expected_profile gives several of them the same value for %s, which must be unique', i.attname),
    'Of these kinds only the first user gets a profile: ' || string_agg(distinct s.kind, ', ') || '.',
    array_agg(distinct format('unique index %s', i.index)),
    'Give null where there is no value, which is never the same: nullif(..., '''') in the view. Or drop the unique index.',
    format(
      case when bool_or(i.is_constraint) then 'alter table %2$s drop constraint %3$I;' else 'drop index %1$s;' end,
      min(i.index::text), rollcall.profile_table(), min(i.name)
    )
  from (
    select x.indexrelid::regclass as index, c.relname as name, a.attname,
      exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u')) as is_constraint
    from pg_catalog.pg_index x
    join pg_catalog.pg_class c on c.oid = x.indexrelid
    join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
    where x.indrelid = rollcall.profile_table() and x.indisunique and x.indnkeyatts = 1 and x.indpred is null and x.indexprs is null
      and a.attname is distinct from rollcall.profile_key()
  ) i
  join (
    select p.kind, v.key, v.value, count(*) over (partition by v.key, v.value) as times
    from (select s.kind, s.profile from rollcall.sample_profiles() s where s.profile is not null and s.kind <> 'odd_metadata') p
    cross join lateral jsonb_each(p.profile) v
    where v.value <> 'null'
  ) s on s.key = i.attname and s.times > 1
  group by i.attname
$$;
comment on function rollcall.doctor_definition_repeats_unique_value() is
  'Check definition_repeats_unique_value: the definition gives several kinds of users the same value for a unique column.';

-- The profile's key references a table of users that is not auth.users: one from before Supabase Auth, in which a new user
-- has no row.
create or replace function rollcall.doctor_profile_key_references_other_table() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('the next signup gets no profile: %s.%I must be in %s, where a new user is not', f.conrelid::regclass, rollcall.profile_key(), f.confrelid::regclass),
    'Every profile that is made for a new user fails on this reference (23503).',
    array[format('constraint %I on %s: %s', f.conname, f.conrelid::regclass, pg_catalog.pg_get_constraintdef(f.oid))],
    'Let the key reference auth.users (id) on delete cascade.',
    format(
      'alter table %1$s drop constraint %2$I; alter table %1$s add constraint %2$I foreign key (%3$I) references auth.users (id) on delete cascade not valid;',
      f.conrelid::regclass, f.conname, rollcall.profile_key()
    )
  from pg_catalog.pg_constraint f
  join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attname = rollcall.profile_key() and f.conkey = array[a.attnum]
  where f.conrelid = rollcall.profile_table() and f.contype = 'f' and f.confrelid <> 'auth.users'::regclass
    -- a trigger that gives the user a row there first
    and not exists (
      select from rollcall.signup_triggers() t cross join lateral rollcall.names_in_code(t.code, t.path) w
      where t.is_enabled and w.kind = 'relation' and w.command = 'insert into' and w.relation = f.confrelid)
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = f.conrelid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype::integer & 7 = 7)
$$;
comment on function rollcall.doctor_profile_key_references_other_table() is
  'Check profile_key_references_other_table: the key of the profile table references another table than auth.users.';

-- The profile table wants each e-mail address once, auth.users does not: users of single sign-on may share one, a profile
-- without a user keeps its own, and older rows differ in case.
create or replace function rollcall.doctor_profile_email_taken() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  target constant regclass := rollcall.profile_table();
  email_index record;
  taken bigint;
begin
  select x.indexrelid::regclass as index, c.relname as name, x.indexprs is not null as is_expression,
    exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype = 'u') as is_constraint
    into email_index
  from pg_catalog.pg_index x
  join pg_catalog.pg_class c on c.oid = x.indexrelid
  where x.indrelid = target and x.indisunique and x.indnkeyatts = 1
    and exists (select from rollcall.profile_columns() p where p.column_name = 'email' and p.target_type is not null)
    and pg_catalog.pg_get_indexdef(x.indexrelid, 1, false) ~ '^(lower\()?\(?email\M'
  order by x.indexprs is null
  limit 1;
  if email_index is null or not rollcall.sees_everything() then
    return;
  end if;
  execute
    'select count(*) from rollcall.expected_profile e'
    ' where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)'
    ' and exists (select from rollcall.actual_profile other where other._user_id is distinct from e._user_id'
    || case when email_index.is_expression then ' and lower(other.email) = lower(e.email::text))' else ' and other.email = e.email::text)' end
    into taken;
  if taken > 0 then
    return next row(
      'critical',
      format('%s without a profile, since another profile holds the same e-mail address', case taken when 1 then '1 user is' else taken || ' users are' end),
      'Users of single sign-on may share an address with others, and a profile whose user is gone keeps its own. These users stay without a profile, and no repair can help.',
      array[format('unique index %s', email_index.index), format('users: %s', taken)],
      'Decide what becomes of the other profiles (rollcall verify counts those without a user), or let addresses repeat: drop the unique index. Then repair: rollcall backfill --apply.',
      format(case when email_index.is_constraint then 'alter table %2$s drop constraint %3$I;' else 'drop index %1$s;' end, email_index.index, target, email_index.name)
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_profile_email_taken() is
  'Check profile_email_taken: users without a profile whose e-mail address another profile holds under a unique index.';

-- The profile holds on to its user: deleting a user fails, from the dashboard and from the API.
create or replace function rollcall.doctor_profile_key_without_cascade() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('users with a profile cannot be deleted: the reference of %s to auth.users does not cascade', f.conrelid::regclass),
    'Deleting a user fails with "Database error deleting user", also for a user who asked to be forgotten. Signups go on.',
    array[format('constraint %I on %s: %s', f.conname, f.conrelid::regclass, pg_catalog.pg_get_constraintdef(f.oid))],
    'Let the reference delete the profile with its user.',
    format(
      'alter table %1$s drop constraint %2$I; alter table %1$s add constraint %2$I foreign key (%3$I) references auth.users (id) on delete cascade not valid;',
      f.conrelid::regclass, f.conname, rollcall.profile_key()
    )
  from pg_catalog.pg_constraint f
  join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attname = rollcall.profile_key() and f.conkey = array[a.attnum]
  where f.conrelid = rollcall.profile_table() and f.contype = 'f' and f.confrelid = 'auth.users'::regclass
    and f.confdeltype <> 'c'
    -- the application may delete or move the profile first
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = 'auth.users'::regclass and not g.tgisinternal and g.tgtype::integer & 10 = 10)
$$;
comment on function rollcall.doctor_profile_key_without_cascade() is
  'Check profile_key_without_cascade: the key references auth.users without on delete cascade.';

-- Nothing ties a profile to its user: when the user is deleted, the profile stays, with its e-mail address.
create or replace function rollcall.doctor_profile_key_without_reference() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('profiles outlive their users: %s.%I does not reference auth.users', a.attrelid::regclass, a.attname),
    'Of a user who is deleted, the profile stays. It may hold what he asked to forget, and an e-mail address that he signs up with again.',
    array[format('column %I of %s has no foreign key', a.attname, a.attrelid::regclass)],
    'Let the key reference auth.users (id) on delete cascade; not valid leaves the rows alone that are there. Profiles without a user are counted by rollcall verify.',
    format('alter table %s add foreign key (%I) references auth.users (id) on delete cascade not valid;', a.attrelid::regclass, a.attname)
  from pg_catalog.pg_attribute a
  where a.attrelid = rollcall.profile_table() and a.attname = rollcall.profile_key()
    -- a text cannot reference a uuid
    and a.atttypid = 'uuid'::regtype
    and not exists (
      select from pg_catalog.pg_constraint f where f.conrelid = a.attrelid and f.contype = 'f' and f.conkey = array[a.attnum])
    -- the application may delete or move the profile by a trigger
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = 'auth.users'::regclass and not g.tgisinternal and g.tgtype::integer & 8 = 8)
$$;
comment on function rollcall.doctor_profile_key_without_reference() is
  'Check profile_key_without_reference: the key of the profile table has no foreign key.';

-- Supabase Auth makes one user in a transaction. Users without a profile who were written in one go came by SQL, past the
-- triggers: a restore sets session_replication_role to replica, as Supabase's guide says.
create or replace function rollcall.doctor_users_loaded_past_trigger() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  loaded record;
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  with missing as materialized (
    select e._user_id from rollcall.expected_profile e
    where not exists (select from rollcall.actual_profile a where a._user_id = e._user_id)
  )
  select count(*) as loads, sum(b.users)::bigint as users into loaded
  from (
    select count(*) as users
    from missing m
    join auth.users u on u.id = m._user_id
    group by u.xmin::text
    having count(*) >= 10
  ) b;
  if loaded.loads > 0 then
    return next row(
      'warning',
      format('%s users without a profile were written together, not one by one as they sign up', loaded.users),
      'They came by a restore, an import or a script, past the trigger; so will the next ones who come that way.',
      array[format('users: %s', loaded.users), format('transactions: %s', loaded.loads)],
      'Repair them: rollcall backfill --apply. After the next restore or import, do so again.',
      'select public.backfill_all_missing_profiles(1000, false);'
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_users_loaded_past_trigger() is
  'Check users_loaded_past_trigger: ten or more users without a profile who were written by one transaction.';

-- Supabase Auth reads its token columns as texts and fails on null. It never writes one; SQL scripts do.
create or replace function rollcall.doctor_users_with_null_tokens() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  columns constant name[] := array(
    select a.attname from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and not a.attisdropped
      and a.attname in ('confirmation_token', 'recovery_token', 'email_change', 'email_change_token_new', 'email_change_token_current', 'phone_change', 'phone_change_token', 'reauthentication_token')
    order by a.attnum
  );
  is_null text;
  affected bigint;
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  select string_agg(format('u.%I is null', c), ' or ') into is_null from unnest(columns) c;
  execute format('select count(*) from auth.users u where u.deleted_at is null and (%s)', coalesce(is_null, 'false')) into affected;
  if affected > 0 then
    return next row(
      'warning',
      format('%s cannot sign in, since a token is null', case affected when 1 then '1 user' else affected || ' users' end),
      'Supabase Auth answers "Database error querying schema" to them, and to an administrator who lists users. They were written by SQL.',
      array[format('users: %s', affected), format('columns: %s', array_to_string(columns, ', '))],
      'Set the tokens to an empty text, as Supabase Auth does.',
      format(
        'update auth.users u set %s where u.deleted_at is null and (%s);',
        (select string_agg(format('%1$I = coalesce(u.%1$I, '''')', c), ', ') from unnest(columns) c), is_null
      )
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_users_with_null_tokens() is
  'Check users_with_null_tokens: users whose token columns are null, which Supabase Auth cannot read.';

-- Where anonymous users need no profile, they need one from the moment they give an e-mail address: an update, which
-- triggers on insert do not see.
create or replace function rollcall.doctor_anonymous_upgrade_unnoticed() returns setof rollcall.doctor_finding
language plpgsql volatile set search_path = '' set row_security = off as $$
begin
  if not rollcall.sees_everything() then
    return;
  end if;
  if not exists (select from auth.users u where u.is_anonymous)
    or not exists (select from rollcall.sample_profiles() s where s.kind = 'anonymous' and not s.is_expected)
    or exists (
      select from pg_catalog.pg_trigger g
      join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where g.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities')) and not g.tgisinternal and g.tgenabled in ('O', 'A')
        and (g.tgtype::integer & 16 = 16 or g.tgrelid = to_regclass('auth.identities'))
        and rollcall.may_make_profiles(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc))
    ) then
    return;
  end if;
  return next row(
    'warning',
    'an anonymous user who becomes a real one gets no profile by himself',
    'Anonymous users need no profile, by rollcall.expected_profile. When one gives an e-mail address or a phone number, he needs one, and the trigger for signups does not run again.',
    array['anonymous users are there', 'no trigger on update of auth.users makes profiles'],
    'Let the upgrade make the profile. Until then the repair does: rollcall backfill --apply.',
    'create or replace trigger rollcall_on_anonymous_upgrade after update of is_anonymous on auth.users for each row'
    ' when (old.is_anonymous and not new.is_anonymous) execute function rollcall.on_signup();'
  )::rollcall.doctor_finding;
end
$$;
comment on function rollcall.doctor_anonymous_upgrade_unnoticed() is
  'Check anonymous_upgrade_unnoticed: anonymous users need no profile, and nothing makes one when they become real ones.';

-- The app makes the profile itself, from the browser. Row level security lets it only once the user is signed in; who has
-- to confirm an address first is not.
create or replace function rollcall.doctor_profiles_left_to_client() returns setof rollcall.doctor_finding
language plpgsql stable set search_path = '' set row_security = off as $$
declare
  target constant regclass := rollcall.profile_table();
  unconfirmed bigint;
begin
  if exists (select from rollcall.signup_triggers() t where t.makes_profiles and t.is_enabled)
    or rollcall.signup_trigger_state() = 'left_to_application'
    or not exists (select from pg_catalog.pg_class c where c.oid = target and c.relrowsecurity) then
    return;
  end if;
  if not rollcall.sees_everything() then
    return;
  end if;
  select count(*) into unconfirmed
  from rollcall.expected_profile e
  join auth.users u on u.id = e._user_id
  where u.confirmed_at is null and not u.is_anonymous
    and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id);
  if unconfirmed > 0 then
    return next row(
      'warning',
      format('%s who did not confirm yet without a profile, which the app alone could make', case unconfirmed when 1 then '1 user is' else unconfirmed || ' users are' end),
      'Before the confirmation there is no session, so row level security refuses what the app inserts, and the app may not notice.',
      array[format('users: %s', unconfirmed), format('row level security is on for %s', target)],
      'Let a trigger make the profile at signup: rollcall migrate --again. Then repair who was missed: rollcall backfill --apply.',
      'create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.on_signup();'
    )::rollcall.doctor_finding;
  end if;
end
$$;
comment on function rollcall.doctor_profiles_left_to_client() is
  'Check profiles_left_to_client: no trigger makes profiles, and unconfirmed users, who have no session, are without one.';

-- Something that Rollcall's migrations make is gone, or was never made: a migration that broke off, an object that was
-- dropped.
create or replace function rollcall.doctor_migrations_incomplete() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    'objects that Rollcall''s migrations make are missing: ' || string_agg(needed.name, ', '),
    'What people and programs call fails, and a repair may fail with it. Signups go on.',
    array_agg(format('%s is missing', needed.name)),
    'Run the migrations again: rollcall migrate --again.',
    null
  from (
    select f as name, to_regprocedure(f)::oid as id
    from unnest(array[
      'public.diagnose_auth_profile_consistency()', 'public.get_auth_profile_mismatches(integer)', 'public.check_recent_signup_issues()',
      'public.get_user_signup_events(uuid)', 'public.monitor_signup_health()', 'public.verify_profile_completeness()',
      'public.backfill_user_profile(uuid, text, text)', 'public.backfill_all_missing_profiles(integer, boolean)',
      'public.ensure_profile_exists(uuid, text, text, text, text)', 'rollcall.on_signup()', 'rollcall.leave_to_later_trigger()',
      'rollcall.repair_users(uuid[], text, jsonb)', 'rollcall.preview_users(uuid[], jsonb)',
      'rollcall.repair_batch(uuid, integer, timestamp with time zone, boolean, text, jsonb)', 'rollcall.mismatches()', 'rollcall.signup_summary()'
    ]) f
    union all
    select r, to_regclass(r)::oid
    from unnest(array[
      'public.user_events', 'public.signup_audit_summary', 'public.auth_profile_mismatch', 'rollcall.repair_failure', 'rollcall.displaced',
      'rollcall.audit_event', 'rollcall.audit_signup'
    ]) r
  ) needed
  where needed.id is null
  having count(*) > 0
$$;
comment on function rollcall.doctor_migrations_incomplete() is
  'Check migrations_incomplete: an object of Rollcall''s migrations is not there.';

-- Rollcall's functions and views are for service_role and the team. Made anew by a script or a tool, one may be open to
-- whoever has the public key.
create or replace function rollcall.doctor_rollcall_exposed() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    'whoever has the public API key can use what is Rollcall''s: ' || string_agg(distinct o.name, ', '),
    'Some of it lists users with their e-mail addresses, or makes profiles for anybody.',
    array_agg(format('%s: %s', r.role, o.name) order by o.name, r.role),
    'Take the rights away.',
    string_agg(distinct format('revoke all on %s%s from public, anon, authenticated;', o.class, o.name), ' ')
  from (
    select 'schema ' as class, 'rollcall' as name, n.oid as id from pg_catalog.pg_namespace n where n.nspname = 'rollcall'
    union all
    select 'table ', c.oid::regclass::text, c.oid
    from pg_catalog.pg_class c
    where c.relkind in ('r', 'v')
      and (c.relnamespace = 'rollcall'::regnamespace
        or c.oid in (to_regclass('public.signup_audit_summary'), to_regclass('public.auth_profile_mismatch')))
    union all
    select 'function ', p.oid::regprocedure::text, p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = 'rollcall'::regnamespace
      or (p.pronamespace = 'public'::regnamespace and pg_catalog.obj_description(p.oid, 'pg_proc') like 'Rollcall: %' and p.prorettype <> 'trigger'::regtype)
  ) o
  cross join (select a.rolname as role from pg_catalog.pg_roles a where a.rolname in ('anon', 'authenticated')) r
  where case o.class
    when 'schema ' then has_schema_privilege(r.role, o.id, 'usage')
    when 'function ' then has_function_privilege(r.role, o.id, 'execute')
    else has_table_privilege(r.role, o.id, 'select, insert, update, delete') or has_any_column_privilege(r.role, o.id, 'select, insert, update')
  end
  having count(*) > 0
$$;
comment on function rollcall.doctor_rollcall_exposed() is
  'Check rollcall_exposed: anon or authenticated may use an object of Rollcall.';

-- A view runs with its owner's rights: one over auth.users in an exposed schema shows every user to whoever may read it.
create or replace function rollcall.doctor_auth_users_exposed() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'warning',
    format('whoever has the public API key can read auth.users through %s', v.oid::regclass),
    'E-mail addresses and ids of all users may be read by anybody on the internet.',
    array_agg(format('%s may select from %s', r.rolname, v.oid::regclass) order by r.rolname),
    'Take the right away, or make the view security_invoker, or move it to a schema that is not exposed.',
    format('revoke all on %s from public, anon, authenticated;', v.oid::regclass)
  from pg_catalog.pg_class v
  join pg_catalog.pg_roles r on r.rolname in ('anon', 'authenticated')
  where v.relkind in ('v', 'm') and v.relnamespace in (select n.oid from pg_catalog.pg_namespace n where n.nspname in ('public', 'graphql_public', 'api'))
    and (v.relkind = 'm' or not coalesce(v.reloptions, '{}') && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'])
    and has_schema_privilege(r.rolname, v.relnamespace, 'usage')
    and (has_table_privilege(r.rolname, v.oid, 'select') or has_any_column_privilege(r.rolname, v.oid, 'select'))
    and exists (
      select from pg_catalog.pg_rewrite w
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
      where w.ev_class = v.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = 'auth.users'::regclass
    )
  group by v.oid
$$;
comment on function rollcall.doctor_auth_users_exposed() is
  'Check auth_users_exposed: a view over auth.users in an exposed schema that anon or authenticated may read.';

-- The application makes its profiles itself, which is its right. The checks of signup_function_* read what its function
-- says; whether it does it, only a signup shows.
create or replace function rollcall.doctor_signup_trigger_foreign() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'info',
    'signups run another function than Rollcall''s to make the profile',
    'Its errors reach the user who signs up, and leave no event behind. The doctor read it; what it found wrong is said beside this.',
    array_agg(format('trigger %s runs %s', t.trigger_name, t.function_name) order by t.trigger_name),
    'Try it: rollcall probe. To put Rollcall''s in its place, which leaves an existing profile alone: rollcall migrate --again.',
    null
  from rollcall.signup_triggers() t
  where t.makes_profiles and t.is_enabled
  having count(*) > 0 and not bool_or(t.is_ours)
$$;
comment on function rollcall.doctor_signup_trigger_foreign() is
  'Check signup_trigger_foreign: only functions of the application make profiles.';

-- Projects may keep the audit log outside of PostgreSQL, and new ones do. The verdict does not need it.
create or replace function rollcall.doctor_audit_log_not_written() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'info',
    case l.state
      when 'off' then 'the audit log is not written to PostgreSQL: history and deletions are not available'
      else 'the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends'
    end,
    'Who signed up and is gone cannot be told; who has no profile can.',
    array[format('audit log: %s', l.state)],
    'The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.',
    null
  from (select case when rollcall.sees_everything() then rollcall.audit_log_state() else 'on' end as state) l
  where l.state <> 'on'
$$;
comment on function rollcall.doctor_audit_log_not_written() is
  'Check audit_log_not_written: the audit log in PostgreSQL is off or stale.';

-- All of them -----------------------------------------------------------------------------------------------------

create or replace function rollcall.doctor(p_with_users boolean default true)
returns table (id text, severity text, summary text, meaning text, evidence text[], next_step text, fix text)
language plpgsql volatile security definer set search_path = '' as $$
declare
  checks constant text[] := array[
    'not_all_visible', 'profiles_cannot_be_made',
    'signup_trigger_missing', 'signup_trigger_disabled',
    'signup_trigger_left_to_application', 'signup_trigger_conditional',
    'signup_triggers_collide', 'before_trigger_discards_rows',
    'signup_function_runs_as_caller', 'signup_function_owner_lacks_rights',
    'signup_function_lacks_schema', 'row_level_security_blocks_signup',
    'signup_function_search_path', 'signup_function_names_unknown_object',
    'signup_function_leaves_column_empty', 'signup_function_needs_email',
    'signup_function_casts_metadata', 'signup_function_hides_errors',
    'unfilled_columns', 'definition_gives_null',
    'definition_breaks_check', 'definition_cannot_be_computed',
    'definition_repeats_unique_value', 'profile_key_references_other_table',
    'profile_email_taken', 'profile_key_without_cascade',
    'profile_key_without_reference', 'users_loaded_past_trigger',
    'users_with_null_tokens', 'anonymous_upgrade_unnoticed',
    'profiles_left_to_client', 'migrations_incomplete',
    'rollcall_exposed', 'auth_users_exposed',
    'signup_trigger_foreign', 'audit_log_not_written'
  ];
  of_users constant text[] := array[
    'profile_email_taken', 'users_loaded_past_trigger', 'users_with_null_tokens', 'anonymous_upgrade_unnoticed', 'profiles_left_to_client'
  ];
  check_id text;
  found rollcall.doctor_finding[];
begin
  foreach check_id in array checks loop
    continue when not p_with_users and check_id = any (of_users);
    begin
      execute format('select array(select f from rollcall.%I() f)', 'doctor_' || check_id) into found;
    exception when others then
      found := array[row(
        'unknown',
        format('the check %s could not look (SQLSTATE %s)', check_id, sqlstate),
        'Whether this goes wrong is not known, for nobody.',
        array['SQLSTATE ' || sqlstate],
        'Run the migrations again: rollcall migrate --again. If it stays so, the role that owns the schema rollcall lacks a right.',
        null
      )::rollcall.doctor_finding];
    end;
    return query
      select check_id, f.severity, f.summary, f.meaning, f.evidence, f.next_step, f.fix from unnest(found) f;
  end loop;
end
$$;
comment on function rollcall.doctor(boolean) is
  'Why profiles go missing, or will: one row a finding, each with its id (docs/doctor.md), severity, what it means and for whom, what was seen, what to do, and the SQL that mends it. No row: every check looked, and nothing was found. unknown: a check could not look. Without users: only the checks whose cost does not grow with the tables.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000200' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function rollcall.signup_summary(), rollcall.mismatches() to service_role;
grant execute on function rollcall.doctor(boolean) to rollcall_monitor;
