-- Cost follows the work.
--
--   full proof   users against profiles by their ids alone, both ways, in the order of two indexes
--   audit log    read once, by a look at the text before anything is parsed
--   signup       one planned statement for the profile, where the definition is the one it was planned for
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

-- The audit log ---------------------------------------------------------------------------------------------------

-- payload is json as text, written by the application: every cast is guarded, since one malformed id would fail
-- the query. \u0000 and lone surrogates are valid in json text but cannot become text; they stand in names only.
-- Most entries are sign-ins, so a look at the text comes first; what is left is parsed once. The check for a uuid is
-- written as it is because a counted regular expression costs several times as much.
create or replace view rollcall.audit_event as
select
  read.action,
  case
    when octet_length(read.about_id) = 36 and read.about_id like '________-____-____-____-____________'
      and read.about_id not like '%-%-%-%-%-%' and read.about_id ~ '^[0-9a-fA-F-]*$' then read.about_id::uuid
    when octet_length(read.actor_id) = 36 and read.actor_id like '________-____-____-____-____________'
      and read.actor_id not like '%-%-%-%-%-%' and read.actor_id ~ '^[0-9a-fA-F-]*$'
      then nullif(read.actor_id::uuid, '00000000-0000-0000-0000-000000000000')
  end as user_id,
  case
    when octet_length(read.about_id) = 36 and read.about_id like '________-____-____-____-____________'
      and read.about_id not like '%-%-%-%-%-%' and read.about_id ~ '^[0-9a-fA-F-]*$' then nullif(read.about_email, '')
    when read.actor_username like '%@%' then read.actor_username
  end as email,
  read.created_at
from (
  select
    parsed.action, parsed.actor_id, parsed.actor_username,
    parsed.traits ->> 'user_id' as about_id, parsed.traits ->> 'user_email' as about_email,
    entry.created_at
  from auth.audit_log_entries entry
  cross join lateral json_to_record(
    case
      when strpos(entry.payload::text, '\u') > 0
        then regexp_replace(entry.payload::text, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\u003f', 'g')::json
      else entry.payload
    end
  ) parsed (action text, actor_id text, actor_username text, traits json)
  where case
      when strpos(entry.payload::text, '"user_') = 0 then false
      -- what is no object has no keys
      else ltrim(entry.payload::text, E' \t\n\r') like '{%'
    end
    and parsed.action in ('user_signedup', 'user_invited', 'user_confirmation_requested', 'user_deleted')
) read;

-- Users against profiles ------------------------------------------------------------------------------------------

-- Both functions answer the same. In the order of two indexes, without a look at the tables, it takes half as long as
-- by a hash; where many pages have changed since the last vacuum, it takes twice as long.
create or replace function rollcall.apart_in_order()
returns table (users bigint, profiles bigint, without_profile uuid[], without_user uuid[], unreadable_keys bigint)
language sql stable security definer set search_path = '' set row_security = off
set enable_hashjoin = off set enable_seqscan = off set enable_sort = off set enable_nestloop = off as $$
  select
    count(u.id),
    count(p.is_profile),
    coalesce(array_agg(u.id) filter (where p.is_profile is null), '{}'),
    coalesce(array_agg(p._user_id) filter (where u.id is null and p._user_id is not null), '{}'),
    count(*) filter (where u.id is null and p._user_id is null)
  from auth.users u
  full join (select a._user_id, true as is_profile from rollcall.actual_profile a) p on p._user_id = u.id
$$;
comment on function rollcall.apart_in_order() is
  'Users without a profile and profiles without a user, by their ids alone, in the order of both primary keys. Who must have a profile is not asked.';

create or replace function rollcall.apart_by_hash()
returns table (users bigint, profiles bigint, without_profile uuid[], without_user uuid[], unreadable_keys bigint)
language sql stable security definer set search_path = '' set row_security = off as $$
  select
    count(u.id),
    count(p.is_profile),
    coalesce(array_agg(u.id) filter (where p.is_profile is null), '{}'),
    coalesce(array_agg(p._user_id) filter (where u.id is null and p._user_id is not null), '{}'),
    count(*) filter (where u.id is null and p._user_id is null)
  from auth.users u
  full join (select a._user_id, true as is_profile from rollcall.actual_profile a) p on p._user_id = u.id
$$;
comment on function rollcall.apart_by_hash() is
  'As rollcall.apart_in_order(), by a hash of the ids: for tables that changed much since their last vacuum, and for keys that are no uuid.';

create or replace function rollcall.apart()
returns table (users bigint, profiles bigint, without_profile uuid[], without_user uuid[], unreadable_keys bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  indexes_suffice constant boolean := coalesce(
    (
      select bool_and(c.relallvisible >= 0.9 * c.relpages)
      from pg_catalog.pg_class c
      where c.oid in ('auth.users'::regclass, rollcall.profile_table())
    )
    and exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = rollcall.profile_table() and a.attname = rollcall.profile_key() and a.atttypid = 'uuid'::regtype
    ),
    false
  );
begin
  perform rollcall.require_sight();
  if indexes_suffice then
    return query select * from rollcall.apart_in_order();
  else
    return query select * from rollcall.apart_by_hash();
  end if;
end
$$;
comment on function rollcall.apart() is
  'All users against all profiles, both ways, by their ids: the full proof. The number of users and of profiles, the ids of users without a profile and of profiles without a user, and the number of profiles whose key is no uuid.';

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
    select
      total.users, total.soft_deleted, total.expected, apart.profiles, total.expected - gap.expected,
      gap.missing, gap.anonymous, gap.phone, gap.sso, gap.unconfirmed,
      apart.unreadable_keys + cardinality(apart.without_user)
    from (
      select
        (select count(*) from rollcall.expected_profile) as expected,
        all_users.users,
        all_users.soft_deleted
      from (select count(*) as users, count(*) filter (where u.deleted_at is not null) as soft_deleted from auth.users u) all_users
    ) total
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

create or replace function rollcall.audit_census()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select
      count(*) filter (where s.signed_up),
      count(*) filter (where s.signed_up and u.id is null),
      count(*) filter (where s.signed_up and s.deleted)
    from (
      select e.user_id, bool_or(e.action <> 'user_deleted') as signed_up, bool_or(e.action = 'user_deleted') as deleted
      from rollcall.audit_event e
      group by e.user_id
    ) s
    left join auth.users u on u.id = s.user_id
    -- entries that name nobody; said here, where it is asked once a user instead of once an entry
    where s.user_id is not null;
end
$$;

-- Who is affected -------------------------------------------------------------------------------------------------

create or replace function rollcall.affected(p_limit bigint default null)
returns table (
  user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz,
  missing bigint, total bigint
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
  without_profile constant uuid[] := (select a.without_profile from rollcall.apart() a);
begin
  return query
    with
    -- read once: the log is by far the largest of the tables
    signup as materialized (
      select s.user_id, s.email, s.created_at from rollcall.audit_signup s
    ),
    gap as materialized (
      select e._user_id, u.email::text as email, u.created_at
      from unnest(without_profile) w (user_id)
      join rollcall.expected_profile e on e._user_id = w.user_id
      join auth.users u on u.id = e._user_id
      where not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
    ),
    gone as materialized (
      select s.user_id, s.email, s.created_at
      from signup s
      where not exists (select from auth.users u where u.id = s.user_id)
    ),
    newest as (
      select g._user_id as user_id, g.email, g.created_at, 'auth_only' as status from gap g
      union all
      select g.user_id, g.email, g.created_at, 'audit_only' from gone g
      order by 3 desc nulls last, 1
      limit p_limit
    )
    select
      n.user_id, s.email, case n.status when 'auth_only' then n.email end, n.status,
      s.created_at, case n.status when 'auth_only' then n.created_at end,
      (select count(*) from gap), (select count(*) from gap) + (select count(*) from gone)
    from newest n
    left join signup s on s.user_id = n.user_id
    order by coalesce(case n.status when 'auth_only' then n.created_at end, s.created_at) desc nulls last, n.user_id;
exception when others or assert_failure then
  -- another's message may quote a row
  if sqlerrm like 'rollcall: %' then
    raise;
  end if;
  raise exception '%', rollcall.failure_text(sqlstate, null, null) using errcode = sqlstate;
end
$$;
comment on function rollcall.affected(bigint) is
  'Users without a profile whose settle time is over (auth_only), and users of the audit log who are gone (audit_only), newest first, at most so many (null: all); each row also says how many users are missing a profile and how many are affected in all. Reads the whole audit log.';

create or replace function rollcall.missing_page(p_after uuid default null, p_limit integer default 20)
returns table (user_id uuid, auth_email text, user_created_at timestamptz)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
  -- the bound is a value of its own, so that both sides of the anti-join start there
  after_id constant uuid := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
begin
  perform rollcall.require_sight();
  return query
    select u.id, u.email::text, u.created_at
    from rollcall.expected_profile e
    join auth.users u on u.id = e._user_id
    where e._user_id >= after_id and e._user_id is distinct from p_after
      and not exists (
        select from rollcall.actual_profile a where a._user_id = e._user_id and a._user_id >= after_id
      )
      and not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
    order by e._user_id
    limit p_limit;
end
$$;
comment on function rollcall.missing_page(uuid, integer) is
  'A page of the users without a profile whose settle time is over, in the order of their ids, after a cursor (null: from the start). Costs the page, wherever it is, and reads no audit log.';

create or replace function public.get_auth_profile_mismatches(p_limit integer default 100)
returns table (user_id uuid, audit_email text, auth_email text, status text, audit_created_at timestamptz, user_created_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_limit < 0 then
    raise exception 'rollcall: p_limit must not be negative'
      using errcode = 'invalid_parameter_value', hint = 'Leave it out for 100 rows.';
  end if;
  return query
    select a.user_id, a.audit_email, a.auth_email, a.status, a.audit_created_at, a.user_created_at
    from rollcall.affected(coalesce(p_limit, 100)) a;
end
$$;

-- The signup ------------------------------------------------------------------------------------------------------

-- The ledger: an event is dated when it is written. A transaction that was open for an hour is then found by whoever
-- reads on from where all transactions had ended.
create or replace function rollcall.log_signup(p_user_id uuid, p_outcome text, p_sqlstate text, p_constraint text, p_column text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.user_events (user_id, kind, payload, created_at)
  select p_user_id, e.kind, e.payload, clock_timestamp()
  from (
    values
      (1, 'auth_user_created', '{"source": "signup"}'::jsonb),
      (2, p_outcome, jsonb_strip_nulls(jsonb_build_object(
        'source', 'signup', 'sqlstate', p_sqlstate,
        'constraint', rollcall.known_constraint(p_constraint), 'column', rollcall.known_column(p_column))))
  ) e (position, kind, payload)
  where e.kind is not null
    and exists (select from auth.users u where u.id = p_user_id)
    and not exists (
      select from public.user_events known
      where known.user_id = p_user_id and known.kind = e.kind and known.payload = e.payload
    )
  order by e.position;
end
$$;

-- "others" leaves out a cancelled query and a failed assertion; inside a signup they must not get through either.
create or replace function rollcall.end_bootstrap(
  p_user_id uuid, p_overrides jsonb, p_profile_is_made boolean, p_deferred text,
  p_sqlstate text, p_constraint text, p_column text
) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
declare
  code text := p_sqlstate;
  constraint_name text := p_constraint;
  column_name text := p_column;
begin
  -- Only the event failed: the profile was taken back with it, so it is made once more, without.
  if p_profile_is_made then
    begin
      perform rollcall.create_profiles(array[p_user_id], p_overrides);
      raise warning 'rollcall: a signup got its profile, but the event could not be written (SQLSTATE %)', code;
      return;
    exception when others or query_canceled or assert_failure then
      get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
    end;
  end if;

  begin
    perform rollcall.log_signup(p_user_id, 'profile_bootstrap_error', code, constraint_name, column_name);
    if p_deferred is not null then
      perform rollcall.try_deferred_constraints(p_deferred);
    end if;
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: a signup got no profile (SQLSTATE %), and the event could not be written either', code;
  end;
end
$$;
comment on function rollcall.end_bootstrap(uuid, jsonb, boolean, text, text, text, text) is
  'What is left to do when the profile of a new user, or its event, failed: the profile without the event, or the event of the failure. Never fails. p_deferred: the constraints that a commit would check, where they are ours to try.';

create or replace function rollcall.bootstrap_profile(p_user_id uuid, p_overrides jsonb default '{}') returns void
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
declare
  profile_is_made boolean := false;
  deferred text;
  is_ours_to_check boolean := false;
  code text;
  constraint_name text;
  column_name text;
begin
  begin
    -- of the events; create_profiles looks after its own
    deferred := rollcall.deferred_constraints();
    is_ours_to_check := case when deferred is null then false else rollcall.deferred_constraints_hold(deferred) end;
    profile_is_made := exists (select from rollcall.create_profiles(array[p_user_id], p_overrides));
    if not profile_is_made and exists (select from rollcall.missing_among(array[p_user_id])) then
      raise exception using errcode = 'RC002', message = 'rollcall: a trigger discarded the profile';
    end if;
    perform rollcall.log_signup(p_user_id, case when profile_is_made then 'profile_bootstrap_ok' end, null, null, null);
    if is_ours_to_check then
      perform rollcall.try_deferred_constraints(deferred);
    end if;
    return;
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
  end;
  perform rollcall.end_bootstrap(
    p_user_id, p_overrides, profile_is_made, case when is_ours_to_check then deferred end, code, constraint_name, column_name);
end
$$;

-- A statement that is put together at every signup is planned at every signup, which costs several times what it does.
-- So the trigger function holds it as text, and a table what it was made from: the rule of the view and the table, as the
-- catalog knows them. Where either is another now, or anything at all is out of the ordinary, the general way is taken.
create table if not exists rollcall.signup_plan (
  only_row boolean primary key default true check (only_row),
  rule oid not null,
  rule_version xid not null,
  profile_table regclass not null
);
alter table rollcall.signup_plan enable row level security;
comment on table rollcall.signup_plan is
  'Which definition the trigger functions for signups were made for. One row, written by rollcall.plan_signup().';
comment on column rollcall.signup_plan.only_row is 'Keeps the table at one row.';
comment on column rollcall.signup_plan.rule is 'The rule behind the view rollcall.expected_profile.';
comment on column rollcall.signup_plan.rule_version is 'The transaction that last wrote that rule: another one where the view was replaced.';
comment on column rollcall.signup_plan.profile_table is 'The profile table.';

create or replace function rollcall.signup_function_sql(p_function text) returns text
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
  key constant name := rollcall.profile_key();
  column_list text;
  value_list text;
  is_fitting boolean;
begin
  select
    string_agg(quote_ident(c.column_name), ', '),
    string_agg(format('e.%I::%s', c.column_name, c.target_type), ', '),
    coalesce(bool_and(c.target_type is not null), false)
    into column_list, value_list, is_fitting
  from rollcall.profile_columns() c;

  return format(
    $function$
create or replace function %1$s returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $body$
declare
  made uuid;
  profile_is_made boolean := false;
  code text;
  constraint_name text;
  column_name text;
begin
%2$s
  begin
    if code is null or code = 'RC002' or (left(code, 2) in ('0A', '42') and not profile_is_made) then
      perform rollcall.bootstrap_profile(new.id);
    else
      perform rollcall.end_bootstrap(new.id, '{}', profile_is_made, null, code, constraint_name, column_name);
    end if;
  exception when others or query_canceled or assert_failure then
    raise warning 'rollcall: a signup got no profile (SQLSTATE %%); is the schema rollcall complete?', sqlstate;
  end;
  return new;
end
$body$
    $function$,
    p_function,
    case when is_fitting and key is not null then format(
      $block$
  begin
    if exists (
        select from rollcall.signup_plan s
        join pg_catalog.pg_rewrite r on r.oid = s.rule and r.xmin = s.rule_version
        where s.profile_table = to_regclass(%1$L)
      )
      -- a constraint that is checked at commit has to be tried here
      and not exists (select from pg_catalog.pg_constraint c where c.condeferrable and c.connamespace <> 'auth'::regnamespace)
      -- where these are gone, nothing of ours is to be relied on
      and to_regprocedure('rollcall.bootstrap_profile(uuid, jsonb)') is not null
      and to_regprocedure('rollcall.create_profiles(uuid[], jsonb)') is not null
      and to_regprocedure('rollcall.log_signup(uuid, text, text, text, text)') is not null
    then
      -- the application's own triggers may name their tables without a schema
      perform set_config('search_path', 'pg_catalog, public, extensions, pg_temp', true);
      insert into %1$s (%2$s)
      select %3$s
      from rollcall.expected_profile e
      where e._user_id = new.id%4$s
      on conflict (%5$I) do nothing
      returning %5$I::text::uuid into made;
      if made = new.id then
        profile_is_made := true;
        insert into public.user_events (user_id, kind, payload, created_at)
        select new.id, e.kind, '{"source": "signup"}', clock_timestamp()
        from (values ('auth_user_created'), ('profile_bootstrap_ok')) e (kind)
        where not exists (select from public.user_events known where known.user_id = new.id);
        if not found then
          -- a user who was there before: the general way knows which events are known
          profile_is_made := false;
          raise exception using errcode = 'RC002', message = 'rollcall: this user has events already';
        end if;
        return new;
      elsif made is not null then
        raise exception using errcode = 'RC002', message = 'rollcall: a trigger on the profile table changed the key of the row';
      end if;
    end if;
  exception when others or query_canceled or assert_failure then
    get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name;
  end;
$block$,
      target, column_list, value_list,
      case when (select a.atttypid <> 'uuid'::regtype from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = key)
        then format(' and not exists (select from %s t where %s)', target, rollcall.key_match_sql('t', 'e._user_id')) else '' end,
      key)
    else '' end
  );
end
$$;
comment on function rollcall.signup_function_sql(text) is
  'SQL text that makes a trigger function for signups, with the insert for the present definition in it. The function it makes never fails.';

create or replace function rollcall.plan_signup() returns void
language plpgsql set search_path = '' as $$
begin
  insert into rollcall.signup_plan as s (rule, rule_version, profile_table)
  select r.oid, r.xmin, rollcall.profile_table()
  from pg_catalog.pg_rewrite r
  where r.ev_class = to_regclass('rollcall.expected_profile') and r.rulename = '_RETURN' and rollcall.profile_table() is not null
  on conflict (only_row) do update
  set rule = excluded.rule, rule_version = excluded.rule_version, profile_table = excluded.profile_table
  where (s.rule, s.profile_table) is distinct from (excluded.rule, excluded.profile_table) or s.rule_version <> excluded.rule_version;
  execute rollcall.signup_function_sql('rollcall.on_signup()');
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.handle_new_user()') and p.prosrc like '%rollcall.bootstrap_profile%'
  ) then
    execute rollcall.signup_function_sql('public.handle_new_user()');
  end if;
end
$$;
comment on function rollcall.plan_signup() is
  'Makes the trigger functions for signups anew for the definition as it is now. Until it is called after an edit of rollcall.expected_profile, a signup takes a slower way to the same profile.';

create or replace function rollcall.adopt_profile_table() returns regclass
language plpgsql set search_path = '' as $$
begin
  if rollcall.profile_key() is null then
    raise exception 'rollcall: no column of % holds the user''s id', coalesce(rollcall.profile_table()::text, 'the profile table')
      using errcode = 'invalid_table_definition',
        hint = 'rollcall.expected_profile must have a column that is named as a uuid or text column of the table with a unique index of its own.';
  end if;
  execute 'create or replace view rollcall.actual_profile as ' || rollcall.draft_actual_profile();
  comment on view rollcall.actual_profile is
    'The profiles there are: _user_id uuid (null where a text key is no uuid), _created_at timestamptz, email text. Made by rollcall.adopt_profile_table(); do not edit.';
  revoke all on rollcall.actual_profile from public, anon, authenticated;
  perform rollcall.plan_signup();
  return rollcall.profile_table();
end
$$;

do $$ begin perform rollcall.plan_signup(); end $$;

-- What scheduled checks read --------------------------------------------------------------------------------------
--
-- The ledger of signups is the events of kind auth_user_created, which the signup trigger writes. Below some size the full
-- proof costs next to nothing and is the check. Above, a check reads what is new in the ledger, who was known to be
-- without a profile, and a slice of all users both ways; and it asks first whether the ledger can be trusted. The ledger
-- alone would lie where
--
--   rows came past the triggers    session_replication_role = replica, as in a documented restore: no sign in the
--                                  catalog, so the counters of inserted rows are compared; a hint, and a crash resets them
--   the trigger was off for a while, or its functions were others: the catalog keeps who wrote these rows last
--   a table was emptied, rewritten or replaced (truncate): it has another file then
--   the definition was edited: its rule is another then
--   a transaction was open for long: its signups are dated before what was read already; so an event is dated when it is
--                                  written, and reading begins where every transaction had ended
--   profiles or events were deleted: the counters again
--
-- and whatever none of these shows is met by the slices, and by the full proof at least once a day.

alter table rollcall.settings add column if not exists full_proof_below_users bigint check (full_proof_below_users >= 0);
comment on column rollcall.settings.full_proof_below_users is
  'Below so many users, a scheduled check is a full proof. Null: 50,000.';

create table if not exists rollcall.proof (
  only_row boolean primary key default true check (only_row),
  proved_at timestamptz not null,
  counts jsonb not null,
  audit_log text not null,
  audit_log_at timestamptz not null,
  catalog text not null,
  counters jsonb not null,
  read_from timestamptz not null,
  candidate_at timestamptz not null,
  candidate_xmax xid8 not null,
  checked_at timestamptz not null,
  slice_after uuid
);
alter table rollcall.proof enable row level security;
comment on table rollcall.proof is
  'The last full proof, and how far scheduled checks have read since. At most one row.';
comment on column rollcall.proof.only_row is 'Keeps the table at one row.';
comment on column rollcall.proof.proved_at is 'When all users were last compared with all profiles.';
comment on column rollcall.proof.counts is 'What rollcall.census() said then; missing is kept up to date.';
comment on column rollcall.proof.audit_log is 'What rollcall.audit_log_state() said then.';
comment on column rollcall.proof.audit_log_at is 'When that was asked; it takes a look at the whole log.';
comment on column rollcall.proof.catalog is 'What rollcall.ledger_catalog() said then.';
comment on column rollcall.proof.counters is 'What rollcall.ledger_counters() said then.';
comment on column rollcall.proof.read_from is 'No event that was written before this is still to come.';
comment on column rollcall.proof.candidate_at is 'Becomes read_from once every transaction has ended that ran at that moment.';
comment on column rollcall.proof.candidate_xmax is 'The first transaction that had not begun at candidate_at.';
comment on column rollcall.proof.checked_at is 'When a scheduled check last read on.';
comment on column rollcall.proof.slice_after is 'The id after which the next slice begins; null: at the first.';

create table if not exists rollcall.known_missing (
  user_id uuid primary key,
  found_at timestamptz not null default now()
);
alter table rollcall.known_missing enable row level security;
comment on table rollcall.known_missing is
  'Users without a profile whom the last full proof or a check since has found, at most 10,000; whether they still are is looked up whenever it is asked.';
comment on column rollcall.known_missing.user_id is 'The user.';
comment on column rollcall.known_missing.found_at is 'When.';

create or replace function rollcall.ledger_catalog() returns text
language sql stable security definer set search_path = '' as $$
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
$$;
comment on function rollcall.ledger_catalog() is
  'What the catalog knows of the tables, triggers, functions and views that the ledger hangs on; another text wherever one of them was changed, emptied or replaced, or the server was started anew.';

create or replace function rollcall.ledger_counters() returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'users_inserted', pg_stat_get_tuples_inserted('auth.users'::regclass),
    'users_deleted', pg_stat_get_tuples_deleted('auth.users'::regclass),
    'events_inserted', pg_stat_get_tuples_inserted(to_regclass('public.user_events')),
    'events_deleted', pg_stat_get_tuples_deleted(to_regclass('public.user_events')),
    'profiles_deleted', pg_stat_get_tuples_deleted(rollcall.profile_table()),
    'log_inserted', pg_stat_get_tuples_inserted('auth.audit_log_entries'::regclass)
  )
$$;
comment on function rollcall.ledger_counters() is
  'PostgreSQL''s counters of rows written to the tables of the ledger, those of transactions that were rolled back included. A hint: they lag a little, and a crash resets them.';

create or replace function rollcall.ledger_doubt() returns text
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  -- counters lag behind by what was written in the last second
  tolerated constant integer := 10;
  proof rollcall.proof;
  old jsonb;
  new constant jsonb := rollcall.ledger_counters();
  not_in_ledger bigint;
begin
  perform rollcall.require_sight();
  select * into proof from rollcall.proof;
  old := proof.counters;
  if proof.proved_at is null then
    return 'no_proof';
  elsif proof.proved_at not between now() - interval '24 hours' and now() + interval '5 minutes' then
    return 'proof_is_old';
  elsif proof.checked_at not between now() - interval '3 hours' and now() + interval '5 minutes' then
    return 'checks_slept';
  elsif rollcall.signup_trigger_state() <> 'in_place' then
    return 'signup_trigger';
  elsif proof.catalog <> rollcall.ledger_catalog() then
    return 'catalog_changed';
  elsif not exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = rollcall.profile_table() and a.attname = rollcall.profile_key() and a.atttypid = 'uuid'::regtype
  ) then
    return 'key_is_no_uuid';
  elsif not exists (
    select from pg_catalog.pg_index i
    where i.indrelid = 'public.user_events'::regclass and i.indexrelid = to_regclass('public.idx_user_events_kind_created_at') and i.indisvalid
  ) then
    return 'no_index';
  elsif exists (select from jsonb_each_text(old) o where o.value::bigint > (new ->> o.key)::bigint) then
    return 'counters_reset';
  end if;

  not_in_ledger := (new ->> 'users_inserted')::bigint - (old ->> 'users_inserted')::bigint - (
    select count(*) from public.user_events e where e.kind = 'auth_user_created' and e.created_at >= proof.proved_at
  );
  -- A signup that was rolled back counts as inserted, and so does its event.
  if not_in_ledger > tolerated and not_in_ledger > tolerated
    + (new ->> 'events_inserted')::bigint - (old ->> 'events_inserted')::bigint - (
      select count(*) from public.user_events e
      where e.kind in ('auth_user_created', 'profile_bootstrap_ok', 'profile_bootstrap_error', 'profile_backfilled', 'profile_backfill_error')
        and e.created_at >= proof.proved_at
    ) then
    return 'inserts_apart';
  elsif (new ->> 'events_deleted')::bigint - (old ->> 'events_deleted')::bigint > tolerated
    and exists (select from public.user_events e where e.kind = 'auth_user_created' having min(e.created_at) > proof.read_from) then
    return 'events_deleted';
  elsif (new ->> 'profiles_deleted')::bigint - (old ->> 'profiles_deleted')::bigint
    > (new ->> 'users_deleted')::bigint - (old ->> 'users_deleted')::bigint + tolerated then
    return 'profiles_deleted';
  end if;
  return null;
end
$$;
comment on function rollcall.ledger_doubt() is
  'Why the ledger of signups cannot stand for a full proof now, in a word; null: it can.';

create or replace function rollcall.full_proof_is_cheap() returns boolean
language sql stable security definer set search_path = '' set row_security = off as $$
  select greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0)
    < coalesce((select s.full_proof_below_users from rollcall.settings s), 50000)
  from pg_catalog.pg_class c
  where c.oid = 'auth.users'::regclass
$$;
comment on function rollcall.full_proof_is_cheap() is
  'Whether there are so few users that a scheduled check is a full proof.';

create or replace function rollcall.last_full_proof() returns timestamptz
language sql stable security definer set search_path = '' set row_security = off as $$
  select greatest(
    (select p.proved_at from rollcall.proof p),
    (
      select max(r.checked_at) from rollcall.check_run r
      where r.check_name = 'health' and r.verdict <> 'unknown' and r.counts ->> 'basis' = 'full'
    )
  )
$$;
comment on function rollcall.last_full_proof() is
  'When a scheduled check last compared all users with all profiles; null: never.';

create or replace function rollcall.prove() returns timestamptz
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  max_known constant integer := 10000;
  proved_at constant timestamptz := clock_timestamp();
  -- looked at before the rows: what changes meanwhile is in doubt at the next check
  running constant pg_snapshot := pg_current_snapshot();
  catalog constant text := rollcall.ledger_catalog();
  counters constant jsonb := rollcall.ledger_counters();
  settled_before constant timestamptz := rollcall.settled_before();
  counts jsonb;
  before rollcall.proof;
  audit_log_is_known boolean;
begin
  perform rollcall.require_sight();
  -- one at a time
  select * into before from rollcall.proof for update;
  audit_log_is_known := coalesce(before.audit_log_at between now() - interval '24 hours' and now(), false);
  select to_jsonb(c) into counts from rollcall.census() c;

  delete from rollcall.known_missing;
  insert into rollcall.known_missing (user_id)
  select e._user_id
  from unnest((select a.without_profile from rollcall.apart() a)) w (user_id)
  join rollcall.expected_profile e on e._user_id = w.user_id
  where not coalesce(e._signed_up_at between settled_before and now() + interval '5 minutes', false)
  order by e._signed_up_at desc nulls last
  limit max_known
  on conflict do nothing;

  insert into rollcall.proof as p (proved_at, counts, audit_log, audit_log_at, catalog, counters, read_from, candidate_at, candidate_xmax, checked_at)
  values (
    proved_at, counts,
    case when audit_log_is_known then before.audit_log else rollcall.audit_log_state() end,
    case when audit_log_is_known then before.audit_log_at else now() end,
    catalog, counters,
    -- nobody knows yet which transactions are running: a day, after which the next proof is due
    proved_at - interval '1 day', proved_at, pg_snapshot_xmax(running), proved_at
  )
  on conflict (only_row) do update
  set proved_at = excluded.proved_at, counts = excluded.counts, audit_log = excluded.audit_log, audit_log_at = excluded.audit_log_at,
    catalog = excluded.catalog, counters = excluded.counters, checked_at = excluded.checked_at,
    read_from = case
      when p.candidate_at > excluded.candidate_at or p.candidate_xmax > excluded.candidate_xmax then excluded.read_from
      when pg_snapshot_xmin(running) >= p.candidate_xmax then p.candidate_at
      else p.read_from
    end,
    candidate_at = case when pg_snapshot_xmin(running) >= p.candidate_xmax or p.candidate_at > excluded.candidate_at
      then excluded.candidate_at else p.candidate_at end,
    candidate_xmax = case when pg_snapshot_xmin(running) >= p.candidate_xmax or p.candidate_xmax > excluded.candidate_xmax
      then excluded.candidate_xmax else p.candidate_xmax end;
  return proved_at;
end
$$;
comment on function rollcall.prove() is
  'Compares all users with all profiles, and keeps the result for the scheduled checks that follow. When.';

create or replace function rollcall.ledger_missing(p_since timestamptz) returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
  users constant uuid[] := array(
    select distinct e.user_id from public.user_events e
    where e.kind = 'auth_user_created' and e.created_at >= p_since and e.user_id is not null
  );
begin
  return query
    select x._user_id
    from unnest(users) u (id)
    join rollcall.expected_profile x on x._user_id = u.id
    where not exists (select from rollcall.actual_profile a where a._user_id = x._user_id)
      and not coalesce(x._signed_up_at between settled_before and now() + interval '5 minutes', false);
end
$$;
comment on function rollcall.ledger_missing(timestamptz) is
  'Users without a profile, and past their settle time, among those whose signup was written to the ledger since a moment.';

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
begin
  return query
    select
      array(
        select x._user_id
        from unnest(array(
          select u.id from auth.users u
          where u.id > after_id and u.id <= until_id
            and not exists (
              select from rollcall.actual_profile a where a._user_id = u.id and a._user_id > after_id and a._user_id <= until_id
            )
        )) w (user_id)
        join rollcall.expected_profile x on x._user_id = w.user_id
        where not coalesce(x._signed_up_at between settled_before and now() + interval '5 minutes', false)
      ),
      (
        select count(*) from rollcall.actual_profile a
        where a._user_id > after_id and a._user_id <= until_id
          and not exists (select from auth.users u where u.id = a._user_id and u.id > after_id and u.id <= until_id)
      ),
      last_id;
end
$$;
comment on function rollcall.slice() is
  'The next slice of all users, both ways: users without a profile, how many profiles have no user, and where the slice after it begins (null: at the first).';

create or replace function rollcall.ledger_report(p_health_window interval, p_recent_window interval)
returns table (
  check_time timestamptz, last_full_proof timestamptz, doubt text,
  signups bigint, signups_missing bigint,
  counts jsonb, audit_log text,
  recent_missing uuid[], new_missing uuid[], slice_after uuid, running pg_snapshot
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  -- above this, some of them stand for all
  max_looked_up constant integer := 500;
  witnesses constant integer := 50;
  -- clocks may be set back a little
  clock_slack constant interval := '1 minute';
  proof rollcall.proof;
  part record;
  known uuid[];
  is_all boolean;
  still uuid[];
  fresh uuid[];
  unknown uuid[];
  recent uuid[];
  hour record;
  found jsonb;
  reason text;
begin
  perform rollcall.require_sight();
  select * into proof from rollcall.proof;
  if proof.proved_at is null then
    return query select now(), null::timestamptz, 'no_proof', null::bigint, null::bigint, null::jsonb, null::text,
      null::uuid[], null::uuid[], null::uuid, pg_current_snapshot();
    return;
  end if;

  select * into part from rollcall.slice();
  -- who was inside the settle time at the last look is to be looked at again
  fresh := array(select rollcall.ledger_missing(
    least(proof.read_from - clock_slack, now() - p_recent_window) - rollcall.settle_time()
  ));

  known := array(select k.user_id from rollcall.known_missing k order by k.found_at desc, k.user_id limit max_looked_up + 1);
  is_all := cardinality(known) <= max_looked_up;
  if not is_all then
    known := known[:witnesses];
  end if;
  still := array(select m from rollcall.missing_among(known) m);

  -- a slice has nobody whom neither the ledger nor the last proof knew
  if exists (
    select from unnest(part.missing) m (id)
    where not exists (select from rollcall.known_missing k where k.user_id = m.id) and m.id <> all (fresh)
  ) and coalesce((proof.counts ->> 'missing')::bigint, 0) <= 10000 then
    reason := 'slice';
  elsif part.orphaned > coalesce((proof.counts ->> 'orphaned')::bigint, 0) then
    reason := 'slice';
  elsif not is_all and cardinality(still) < cardinality(known) then
    -- somebody repaired them meanwhile: the sum is another
    reason := 'repaired';
  end if;

  unknown := array(
    select f from unnest(fresh) f
    where not exists (select from rollcall.known_missing k where k.user_id = f)
  );
  if is_all then
    select jsonb_build_object(
        'missing', count(*),
        'missing_anonymous', count(*) filter (where u.is_anonymous),
        'missing_phone', count(*) filter (where u.email is null and u.phone is not null),
        'missing_sso', count(*) filter (where u.is_sso_user),
        'missing_unconfirmed', count(*) filter (where u.confirmed_at is null and not u.is_anonymous)
      )
      into found
    from unnest(still || unknown) m (id)
    join auth.users u on u.id = m.id;
  else
    found := jsonb_build_object('missing', (proof.counts ->> 'missing')::bigint + cardinality(unknown));
  end if;
  found := proof.counts || found;

  select count(*) as signups, count(*) filter (where e._user_id = any (fresh)) as missing into hour
  from unnest(array(
    select distinct l.user_id from public.user_events l
    where l.kind = 'auth_user_created' and l.created_at >= now() - p_health_window and l.user_id is not null
  )) s (user_id)
  join rollcall.expected_profile e on e._user_id = s.user_id
  where e._signed_up_at between now() - p_health_window and now() + interval '5 minutes';

  -- what is new since the last look counts as recent, whenever its transaction began
  recent := array(
    select m.id
    from (select unnest(fresh) union select unnest(still)) m (id)
    join rollcall.expected_profile e on e._user_id = m.id
    where e._signed_up_at between now() - p_recent_window and now() + interval '5 minutes' or m.id = any (unknown)
  );

  return query select
    now(), proof.proved_at, reason, hour.signups, hour.missing, found,
    case
      when proof.audit_log <> 'on' and (rollcall.ledger_counters() ->> 'log_inserted')::bigint > (proof.counters ->> 'log_inserted')::bigint then 'on'
      else proof.audit_log
    end,
    recent, unknown, part.next_after, pg_current_snapshot();
end
$$;
comment on function rollcall.ledger_report(interval, interval) is
  'What a scheduled check reads instead of the tables: the last proof with what the ledger, those known to be missing and one slice add to it. doubt: it does not add up, so a full proof is due. counts is the census of the last proof with missing as it is now. recent_missing: without a profile and signed up within the window, or new since the last look.';

create or replace function rollcall.read_on(p_checked_at timestamptz, p_running pg_snapshot, p_new_missing uuid[], p_slice_after uuid) returns void
language plpgsql security definer set search_path = '' set row_security = off as $$
declare
  added integer;
  known uuid[];
begin
  insert into rollcall.known_missing (user_id)
  select m from unnest(p_new_missing) m
  order by m
  on conflict do nothing;
  get diagnostics added = row_count;

  update rollcall.proof p
  set checked_at = greatest(p.checked_at, least(p_checked_at, now())),
    slice_after = p_slice_after,
    counts = p.counts || jsonb_build_object('missing', (p.counts ->> 'missing')::bigint + added),
    read_from = case when pg_snapshot_xmin(p_running) >= p.candidate_xmax then greatest(p.read_from, p.candidate_at) else p.read_from end,
    candidate_at = case when pg_snapshot_xmin(p_running) >= p.candidate_xmax then least(p_checked_at, now()) else p.candidate_at end,
    candidate_xmax = case when pg_snapshot_xmin(p_running) >= p.candidate_xmax then pg_snapshot_xmax(p_running) else p.candidate_xmax end
  -- a report from before the last proof has nothing to add
  where p.proved_at <= p_checked_at;

  -- who has a profile now, or needs none
  known := array(select k.user_id from rollcall.known_missing k limit 501);
  if cardinality(known) between 1 and 500 then
    delete from rollcall.known_missing k
    where k.user_id = any (known) and k.user_id <> all (array(select m from rollcall.missing_among(known) m));
  end if;
end
$$;
comment on function rollcall.read_on(timestamptz, pg_snapshot, uuid[], uuid) is
  'Keeps how far a check has read, and whom it found, for the next one. Moves on only past what every transaction had ended before.';

create or replace function rollcall.recent_gap(p_window interval)
returns table (user_id uuid, created_at timestamptz)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  settled_before constant timestamptz := rollcall.settled_before();
begin
  perform rollcall.require_sight();
  return query
    select e._user_id, e._signed_up_at
    from rollcall.expected_profile e
    where e._signed_up_at between now() - p_window and now() + interval '5 minutes'
      and e._signed_up_at <= settled_before
      and not exists (select from rollcall.actual_profile a where a._user_id = e._user_id);
end
$$;
comment on function rollcall.recent_gap(interval) is
  'Signups within the window before now that have no profile although the settle time is over; reads auth.users and no audit log.';

create or replace function rollcall.signed_up_at(p_user_ids uuid[])
returns table (user_id uuid, created_at timestamptz)
language sql stable security definer set search_path = '' set row_security = off as $$
  select e._user_id, e._signed_up_at from rollcall.expected_profile e where e._user_id = any (p_user_ids)
$$;
comment on function rollcall.signed_up_at(uuid[]) is
  'When these users signed up.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000700' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.affected(bigint),
  rollcall.missing_page(uuid, integer),
  rollcall.full_proof_is_cheap(),
  rollcall.last_full_proof(),
  rollcall.ledger_doubt(),
  rollcall.ledger_report(interval, interval),
  rollcall.prove(),
  rollcall.read_on(timestamptz, pg_snapshot, uuid[], uuid),
  rollcall.recent_gap(interval),
  rollcall.signed_up_at(uuid[])
to rollcall_monitor;
