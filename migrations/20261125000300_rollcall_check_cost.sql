-- Cost follows the work, for what reads.
--
--   audit log    an entry that is no signup is passed by on its first bytes
--   state of it  the end of the table is enough to know that it is written
--   a slice      both ways in one join
--   catalog      what was found sound is not looked at again until something in it changes
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- The audit log ---------------------------------------------------------------------------------------------------

-- payload is json as text, written by the application: every cast is guarded, since one malformed id would fail
-- the query. \u0000 and lone surrogates are valid in json text but cannot become text; they stand in names only.
--
-- Most entries are sign-ins. Supabase Auth writes the keys of an entry in the order of the alphabet, so the first bytes
-- tell them apart; json_send() hands them out for a third of what a cast to text costs, but in the encoding of the client,
-- where any other form is looked at as text. The check for a uuid is written as it is because a counted regular expression,
-- or translate(), costs several times as much.
create or replace view rollcall.audit_entry as
select
  read.entry_id,
  read.action,
  case
    when read.about_id like '________-____-____-____-____________' and read.about_id ~ '^[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+$'
      then read.about_id::uuid
    when read.actor_id like '________-____-____-____-____________' and read.actor_id ~ '^[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+$'
      then nullif(read.actor_id::uuid, '00000000-0000-0000-0000-000000000000')
  end as user_id,
  case
    when read.about_id like '________-____-____-____-____________' and read.about_id ~ '^[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+-[0-9a-fA-F]+$'
      then nullif(read.about_email, '')
    when read.actor_username like '%@%' then read.actor_username
  end as email,
  read.created_at
from (
  select
    parsed.action, parsed.actor_id, parsed.actor_username,
    parsed.traits ->> 'user_id' as about_id, parsed.traits ->> 'user_email' as about_email,
    entry.created_at, entry.id as entry_id
  from auth.audit_log_entries entry
  cross join lateral json_to_record(
    case
      when strpos(entry.payload::text, '\u') > 0
        then regexp_replace(entry.payload::text, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\u003f', 'g')::json
      else entry.payload
    end
  ) parsed (action text, actor_id text, actor_username text, traits json)
  where case case when (select pg_client_encoding() = getdatabaseencoding()) then substring(json_send(entry.payload), 1, 13) end
      when '{"action":"us' then true
      when '{"action":"to' then false
      when '{"action":"lo' then false
      else case
        when strpos(entry.payload::text, '"user_') = 0 then false
        -- what is no object has no keys
        else ltrim(entry.payload::text, E' \t\n\r') like '{%'
      end
    end
    and parsed.action in ('user_signedup', 'user_invited', 'user_confirmation_requested', 'user_deleted')
) read;
comment on view rollcall.audit_entry is
  'Signups and deletions in auth.audit_log_entries with their subject, each with the id of its entry: traits.user_id if it is a uuid (an administrator acted), else the actor. user_id is null where the entry names nobody.';

create or replace view rollcall.audit_event as
select e.action, e.user_id, e.email, e.created_at from rollcall.audit_entry e;

-- A function of its own, since plpgsql runs "return query" in parallel, and since PostgreSQL has to be told how many they are:
-- of what stands in json it expects one, and would then look up each user by himself.
create or replace function rollcall.audit_subjects()
returns table (user_id uuid, signed_up boolean, deleted boolean)
language plpgsql stable security definer set search_path = '' set row_security = off rows 1000000 as $$
begin
  perform rollcall.require_sight();
  return query
    select e.user_id, bool_or(e.action <> 'user_deleted'), bool_or(e.action = 'user_deleted')
    from rollcall.audit_event e
    group by e.user_id;
end
$$;
comment on function rollcall.audit_subjects() is
  'Whom the audit log speaks of, one row a user: with a signup, with a deletion (soft or hard). user_id is null for all entries that name nobody.';

create or replace function rollcall.audit_census_read()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language sql stable security definer set search_path = '' set row_security = off set jit = off as $$
  select
    count(*) filter (where s.signed_up),
    count(*) filter (where s.signed_up and u.id is null),
    count(*) filter (where s.signed_up and s.deleted)
  from rollcall.audit_subjects() s
  left join auth.users u on u.id = s.user_id
  where s.user_id is not null
$$;
comment on function rollcall.audit_census_read() is
  'Users in the audit log, by all of it: with a signup, of these without a row in auth.users, of these with a recorded deletion (soft or hard).';

create or replace function rollcall.audit_log_tail(p_blocks integer) returns tid
language plpgsql stable set search_path = '' as $$
begin
  return format('(%s,0)', greatest(
    pg_relation_size('auth.audit_log_entries'::regclass) / current_setting('block_size')::bigint - p_blocks, 0));
end
$$;
comment on function rollcall.audit_log_tail(integer) is
  'Where the last blocks of the audit log begin. Most new entries are there, and not all: space that became free is used again.';

create or replace function rollcall.audit_log_state() returns text
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  -- nobody can have been active later than this
  now_at_most constant timestamptz := now() + interval '5 minutes';
  -- a signup or a sign-in writes an entry within its own request
  request constant interval := interval '1 hour';
  tail constant tid := rollcall.audit_log_tail(64);
  activity timestamptz;
  newest timestamptz;
begin
  -- Where the end of the table holds a young entry, the log is on, wherever else young ones are. Nothing follows from there
  -- being none.
  if exists (select from auth.audit_log_entries e where e.ctid >= tail and e.created_at >= now_at_most - request) then
    return 'on';
  end if;
  -- anonymous signups write no entry
  select max(greatest(u.created_at, u.last_sign_in_at)) into activity
  from auth.users u
  where not u.is_anonymous and greatest(u.created_at, u.last_sign_in_at) < now_at_most;
  if exists (select from auth.audit_log_entries e where e.ctid >= tail and e.created_at >= activity - request) then
    return 'on';
  end if;
  select max(e.created_at) into newest from auth.audit_log_entries e;
  return case when newest is null then 'off' when newest < activity - request then 'stale' else 'on' end;
end
$$;

-- Users against profiles ------------------------------------------------------------------------------------------

create or replace function rollcall.census()
returns table (
  users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint,
  missing bigint, missing_anonymous bigint, missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
  apart record;
begin
  perform rollcall.require_sight();
  select * into apart from rollcall.apart();
  return query
    with
    -- counted once, however often it is named
    total as materialized (select count(*) as expected from rollcall.expected_profile)
    select
      all_users.users, all_users.soft_deleted, total.expected, apart.profiles, total.expected - gap.expected,
      gap.missing, gap.anonymous, gap.phone, gap.sso, gap.unconfirmed,
      apart.unreadable_keys + cardinality(apart.without_user)
    from total
    cross join (select count(*) as users, count(*) filter (where u.deleted_at is not null) as soft_deleted from auth.users u) all_users
    cross join (
      select
        count(*) as expected,
        count(*) filter (where e.is_gap) as missing,
        count(*) filter (where e.is_gap and u.is_anonymous) as anonymous,
        count(*) filter (where e.is_gap and u.email is null and u.phone is not null) as phone,
        count(*) filter (where e.is_gap and u.is_sso_user) as sso,
        count(*) filter (where e.is_gap and u.confirmed_at is null and not u.is_anonymous) as unconfirmed
      from (
        select
          x._user_id,
          -- a date that nobody can have signed up at yet is no sign of a signup in flight
          not coalesce(x._signed_up_at between settled_before and now() + interval '5 minutes', false) as is_gap
        from unnest(apart.without_profile) without (user_id)
        join rollcall.expected_profile x on x._user_id = without.user_id
      ) e
      join auth.users u on u.id = e._user_id
    ) gap;
end
$$;

-- What scheduled checks read --------------------------------------------------------------------------------------

-- Every check asks these, several times; as plpgsql they are planned once in a connection.
create or replace function rollcall.signup_trigger_state() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select case
      when bool_or(t.is_ours and t.is_enabled) then 'in_place'
      when bool_or(t.is_left) and not bool_or(t.is_ours) then 'left_to_application'
      when bool_or(t.is_enabled and not t.is_left) then 'foreign'
      when bool_or(t.is_ours) then 'disabled'
      else 'missing'
    end
    from (
      select
        p.prosrc like '%rollcall.bootstrap_profile%' and t.tgqual is null as is_ours,
        t.tgfoid = to_regprocedure('rollcall.leave_to_later_trigger()') as is_left,
        t.tgenabled in ('O', 'A') as is_enabled
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = 'auth.users'::regclass and not t.tgisinternal
        and t.tgtype::integer & 5 = 5  -- for each row, insert
    ) t
  );
end
$$;

create or replace function rollcall.settle_time() returns interval
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  return coalesce(
    (select s.settle_time from rollcall.settings s),
    -- made in the signup's own transaction, a profile is there as soon as the user can be seen
    case rollcall.signup_trigger_state() when 'left_to_application' then interval '30 seconds' else interval '0' end
  );
end
$$;

create or replace function rollcall.settled_before() returns timestamptz
language plpgsql stable security definer set search_path = '' as $$
declare
  settle_time constant interval := rollcall.settle_time();
begin
  return case when settle_time = interval '0' then 'infinity' else now() - settle_time end;
end
$$;

create or replace function rollcall.ledger_catalog() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select concat_ws(
      ' ',
      extract(epoch from pg_postmaster_start_time()),
      t.users::oid, pg_relation_filenode(t.users),
      t.profiles::oid, pg_relation_filenode(t.profiles),
      t.events::oid, pg_relation_filenode(t.events),
      (
        select md5(string_agg(concat_ws(' ', g.oid, g.xmin, g.tgenabled, g.tgfoid), ',' order by g.oid))
        from pg_catalog.pg_trigger g
        where g.tgrelid in (t.users, t.events) and not g.tgisinternal
      ),
      (
        select md5(string_agg(concat_ws(' ', p.oid, p.xmin), ',' order by p.oid))
        from pg_catalog.pg_proc p
        where p.oid in (
          to_regprocedure('public.handle_new_user()'), to_regprocedure('rollcall.on_signup()'),
          to_regprocedure('rollcall.bootstrap_profile(uuid, jsonb)'),
          to_regprocedure('rollcall.end_bootstrap(uuid, jsonb, boolean, text, text, text, text)'),
          to_regprocedure('rollcall.log_signup(uuid, text, text, text, text)')
        )
      ),
      (
        select md5(string_agg(concat_ws(' ', r.oid, r.xmin), ',' order by r.oid))
        from pg_catalog.pg_rewrite r
        where r.ev_class in (to_regclass('rollcall.expected_profile'), to_regclass('rollcall.actual_profile'))
      )
    )
    from (
      select 'auth.users'::regclass as users, rollcall.profile_table() as profiles, to_regclass('public.user_events') as events
    ) t
  );
end
$$;

create or replace function rollcall.ledger_counters() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  return (
    select jsonb_build_object(
      'users_inserted', pg_stat_get_tuples_inserted('auth.users'::regclass),
      'users_deleted', pg_stat_get_tuples_deleted('auth.users'::regclass),
      'events_inserted', pg_stat_get_tuples_inserted(to_regclass('public.user_events')),
      'events_deleted', pg_stat_get_tuples_deleted(to_regclass('public.user_events')),
      'profiles_deleted', pg_stat_get_tuples_deleted(rollcall.profile_table()),
      'log_inserted', pg_stat_get_tuples_inserted('auth.audit_log_entries'::regclass)
    )
  );
end
$$;

create or replace function rollcall.full_proof_is_cheap() returns boolean
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  return (
    select greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0)
      < coalesce((select s.full_proof_below_users from rollcall.settings s), 50000)
    from pg_catalog.pg_class c
    where c.oid = 'auth.users'::regclass
  );
end
$$;

create or replace function rollcall.slice()
returns table (missing uuid[], orphaned bigint, next_after uuid)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  -- some milliseconds, however many users there are
  slice_size constant integer := 500;
  settled_before constant timestamptz := rollcall.settled_before();
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  last_of_all constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  after_id constant uuid := coalesce((select p.slice_after from rollcall.proof p), nobody);
  last_id constant uuid := (select u.id from auth.users u where u.id > after_id order by u.id offset slice_size - 1 limit 1);
  until_id constant uuid := coalesce(last_id, last_of_all);
  without_profile uuid[];
  without_user bigint;
begin
  -- a full join, since PostgreSQL cannot know how many rows there are between two ids, and must not try them pair by pair
  select coalesce(array_agg(u.id) filter (where p.is_profile is null), '{}'), count(*) filter (where u.id is null)
    into without_profile, without_user
  from (select u.id from auth.users u where u.id > after_id and u.id <= until_id) u
  full join (
    select a._user_id, true as is_profile from rollcall.actual_profile a where a._user_id > after_id and a._user_id <= until_id
  ) p on p._user_id = u.id;
  return query
    select
      array(
        select x._user_id
        from unnest(without_profile) w (user_id)
        join rollcall.expected_profile x on x._user_id = w.user_id
        where not coalesce(x._signed_up_at between settled_before and now() + interval '5 minutes', false)
      ),
      without_user,
      last_id;
end
$$;

-- What the catalog was found to be --------------------------------------------------------------------------------
--
-- Most checks of the doctor read nothing but the catalog. While no row of it that they read was written since they last
-- found nothing, they would find nothing again.

alter table rollcall.proof
  add column if not exists sound_catalog text,
  add column if not exists sound_catalog_at timestamptz;
comment on column rollcall.proof.sound_catalog is
  'What rollcall.catalog_state() said when the doctor last found nothing grave in the catalog.';
comment on column rollcall.proof.sound_catalog_at is 'When that was.';

create or replace function rollcall.catalog_state() returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  -- what PostgreSQL brings along has smaller oids; a variable here would have it planned anew each time
  return concat_ws(
    ' ',
    (select count(*) || ':' || sum(hashtext(c.xmin::text)) from pg_catalog.pg_class c where c.oid >= 16384 and c.relpersistence <> 't'),
    (
      select count(*) || ':' || sum(hashtext(a.xmin::text))
      from pg_catalog.pg_attribute a
      where a.attrelid >= 16384 and a.attnum > 0
    ),
    (select count(*) || ':' || sum(hashtext(d.xmin::text)) from pg_catalog.pg_attrdef d),
    (select count(*) || ':' || sum(hashtext(p.xmin::text)) from pg_catalog.pg_proc p where p.oid >= 16384),
    (select count(*) || ':' || sum(hashtext(t.xmin::text)) from pg_catalog.pg_trigger t),
    (select count(*) || ':' || sum(hashtext(c.xmin::text)) from pg_catalog.pg_constraint c where c.oid >= 16384),
    (select count(*) || ':' || sum(hashtext(i.xmin::text)) from pg_catalog.pg_index i where i.indexrelid >= 16384),
    (select count(*) || ':' || sum(hashtext(r.xmin::text)) from pg_catalog.pg_rewrite r where r.oid >= 16384),
    (select count(*) || ':' || sum(hashtext(t.xmin::text)) from pg_catalog.pg_type t where t.oid >= 16384),
    (select count(*) || ':' || sum(hashtext(e.xmin::text)) from pg_catalog.pg_enum e),
    (select count(*) || ':' || sum(hashtext(n.xmin::text)) from pg_catalog.pg_namespace n),
    (select count(*) || ':' || sum(hashtext(p.xmin::text)) from pg_catalog.pg_policy p),
    (select count(*) || ':' || sum(hashtext(s.xmin::text)) from pg_catalog.pg_db_role_setting s),
    (select count(*) || ':' || sum(hashtext(m.xmin::text)) from pg_catalog.pg_auth_members m),
    -- pg_authid itself is for superusers
    (select md5(string_agg(concat_ws(' ', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls), ',' order by r.oid)) from pg_catalog.pg_roles r)
  );
end
$$;
comment on function rollcall.catalog_state() is
  'Which transactions wrote the rows of the catalog that the doctor''s checks read: another text wherever a table, column, function, trigger, constraint, view, policy, grant, role or setting of a role was made, changed or dropped.';

create or replace function rollcall.catalog_is_sound() returns boolean
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  return exists (
    select from rollcall.proof p
    where p.sound_catalog_at between now() - interval '24 hours' and now() and p.sound_catalog = rollcall.catalog_state()
  )
  -- a definition that reads other tables, or runs functions that may, can go wrong by their rows
  and not exists (
    select from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
    where r.ev_class = to_regclass('rollcall.expected_profile')
      and (
        d.refclassid = 'pg_catalog.pg_proc'::regclass
        or d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid not in (r.ev_class, 'auth.users'::regclass, rollcall.profile_table())
      )
  );
end
$$;
comment on function rollcall.catalog_is_sound() is
  'Whether the doctor found nothing grave in the catalog within a day, and nothing in it was written since.';

create or replace function rollcall.keep_sound_catalog(p_catalog text) returns void
language sql security definer set search_path = '' as $$
  update rollcall.proof p set sound_catalog = p_catalog, sound_catalog_at = now()
$$;
comment on function rollcall.keep_sound_catalog(text) is
  'Keeps that the doctor found nothing grave in this state of the catalog.';

-- Projects may keep the audit log outside of PostgreSQL, and new ones do. The verdict does not need it.
create or replace function rollcall.audit_log_finding(p_state text) returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'info',
    case p_state
      when 'off' then 'the audit log is not written to PostgreSQL: history and deletions are not available'
      else 'the audit log in PostgreSQL has not been written for a while: history and deletions end where it ends'
    end,
    'Who signed up and is gone cannot be told; who has no profile can.',
    array[format('audit log: %s', p_state)],
    'The verdict does not need it. To have history: Supabase dashboard, Authentication, Audit Logs, write to the database.',
    null
  where p_state <> 'on'
$$;
comment on function rollcall.audit_log_finding(text) is
  'What the check audit_log_not_written finds where the audit log is in this state (rollcall.audit_log_state()).';

create or replace function rollcall.doctor_audit_log_not_written() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select f.*
  from rollcall.audit_log_finding(case when rollcall.sees_everything() then rollcall.audit_log_state() else 'on' end) f
$$;
comment on function rollcall.doctor_audit_log_not_written() is
  'Check audit_log_not_written: the audit log in PostgreSQL is off or stale.';

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
  of_rows constant text[] := array[
    'profile_email_taken', 'users_loaded_past_trigger', 'users_with_null_tokens', 'anonymous_upgrade_unnoticed', 'profiles_left_to_client',
    'audit_log_not_written'
  ];
  check_id text;
  found rollcall.doctor_finding[];
begin
  foreach check_id in array checks loop
    continue when not p_with_users and check_id = any (of_rows);
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

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261125000300' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.audit_log_finding(text),
  rollcall.catalog_is_sound(),
  rollcall.catalog_state(),
  rollcall.keep_sound_catalog(text)
to rollcall_monitor;
