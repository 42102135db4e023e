-- Everything that is on record of one user, from all sources: for the question "why can this person not get in?".
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.users_by_email(p_email text) returns setof uuid
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  perform rollcall.require_sight();
  return query
    select u.id from auth.users u where lower(u.email::text) = lower(btrim(p_email)) order by u.created_at, u.id limit 10;
end
$$;
comment on function rollcall.users_by_email(text) is
  'Users with this address, but for case; several where single sign-on is in use. At most 10.';

create or replace function rollcall.user_facts(p_user_id uuid)
returns table (
  is_user boolean, is_expected boolean, has_profile boolean, is_settling boolean, is_soft_deleted boolean,
  is_anonymous boolean, is_sso boolean, is_confirmed boolean, is_banned boolean, email text, phone_only boolean,
  email_differs boolean, signup_logged boolean, deletion_logged boolean, audit_log text,
  failure_sqlstate text, failure_constraint text, failure_column text, failure_attempts integer, failure_last_at timestamptz
)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  differs boolean := false;
begin
  perform rollcall.require_sight();
  if exists (select from rollcall.profile_columns() c where c.column_name = 'email') then
    -- dynamic, since a definition without e-mail is a definition, too
    execute
      'select exists (select from rollcall.expected_profile e join rollcall.actual_profile a on a._user_id = e._user_id'
      ' where e._user_id = $1 and lower(e.email::text) is distinct from lower(a.email))'
      into differs using p_user_id;
  end if;
  return query
    select
      u.id is not null,
      exists (select from rollcall.expected_profile e where e._user_id = p_user_id),
      exists (select from rollcall.actual_profile a where a._user_id = p_user_id),
      coalesce(u.created_at between rollcall.settled_before() and now() + interval '5 minutes', false),
      coalesce(u.deleted_at is not null, false),
      coalesce(u.is_anonymous, false),
      coalesce(u.is_sso_user, false),
      coalesce(u.confirmed_at is not null, false),
      coalesce(u.banned_until > now(), false),
      u.email::text,
      coalesce(u.email is null and u.phone is not null, false),
      differs,
      coalesce(l.signed_up, false),
      coalesce(l.deleted, false),
      rollcall.audit_log_state(),
      f.sqlstate, f.constraint_name, f.column_name, f.attempts, f.failed_at
    from (select p_user_id as id) asked
    left join auth.users u on u.id = asked.id
    left join lateral (
      select r.sqlstate, r.constraint_name, r.column_name, r.attempts, r.last_failed_at as failed_at
      from rollcall.repair_failure r
      where r.user_id = asked.id
      union all
      select v.payload ->> 'sqlstate', v.payload ->> 'constraint', v.payload ->> 'column', 1, v.created_at
      from public.user_events v
      where v.user_id = asked.id
        and v.kind = 'profile_bootstrap_error' and v.payload ->> 'sqlstate' ~ '^[0-9A-Z]{5}$' and isfinite(v.created_at)
      order by failed_at desc
      limit 1
    ) f on true
    left join lateral (
      select bool_or(e.action <> 'user_deleted') as signed_up, bool_or(e.action = 'user_deleted') as deleted
      from rollcall.audit_event e
      where e.user_id = asked.id
    ) l on true;
end
$$;
comment on function rollcall.user_facts(uuid) is
  'One row on one user: what he is, whether a profile is expected and there, what the audit log knows (signup, deletion), and the last attempt that failed, by signup or repair, with its SQLSTATE, constraint and column.';

create or replace function rollcall.identities_of(p_user_id uuid) returns table (at timestamptz, provider text)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
begin
  if to_regclass('auth.identities') is null then
    return;
  end if;
  return query select i.created_at, i.provider::text from auth.identities i where i.user_id = p_user_id;
end
$$;
comment on function rollcall.identities_of(uuid) is
  'The identities of a user: when each was linked, and its provider. None where Supabase Auth has no such table.';

create or replace function rollcall.user_timeline(p_user_id uuid)
returns table (happened_at timestamptz, source text, happening text, details jsonb, email text)
language plpgsql stable security definer set search_path = '' set row_security = off as $$
declare
  max_entries constant integer := 200;
begin
  perform rollcall.require_sight();
  return query
    with whole as (
      select e.created_at as at, 'audit log' as source, e.action as happening, null::jsonb as details, e.email, 1 as rank, 0::bigint as position
      from rollcall.audit_event e
      where e.user_id = p_user_id
      union all
      -- as json, since an older auth.users may lack some of these columns
      select (to_jsonb(u) ->> moment.name)::timestamptz, 'user',
        moment.happening || case when moment.name <> 'created_at' then ''
          when u.is_anonymous then ' (anonymous)' when u.is_sso_user then ' (single sign-on)'
          when u.email is not null then ' (e-mail)' when u.phone is not null then ' (phone)' else ''
        end,
        null, case moment.name when 'created_at' then u.email::text end, 2, moment.position
      from auth.users u
      cross join (
        values
          (1, 'created_at', 'created'), (2, 'invited_at', 'invited'), (3, 'confirmation_sent_at', 'confirmation sent'),
          (4, 'email_confirmed_at', 'e-mail confirmed'), (5, 'phone_confirmed_at', 'phone confirmed'),
          (6, 'last_sign_in_at', 'last sign-in'), (7, 'banned_until', 'banned until'), (8, 'deleted_at', 'soft-deleted')
      ) moment (position, name, happening)
      where u.id = p_user_id and to_jsonb(u) ->> moment.name is not null
      union all
      select a._created_at, 'profile', 'created', null, a.email, 4, 0
      from rollcall.actual_profile a
      where a._user_id = p_user_id
      union all
      select v.created_at, 'event', v.kind::text, v.payload, null, 3, v.id::bigint
      from public.user_events v
      where v.user_id = p_user_id
      union all
      select f.last_failed_at, 'repair', format('failed (attempt %s)', f.attempts),
        jsonb_strip_nulls(jsonb_build_object('sqlstate', f.sqlstate, 'constraint', f.constraint_name, 'column', f.column_name)),
        null, 5, 0
      from rollcall.repair_failure f
      where f.user_id = p_user_id
      union all
      select i.at, 'identity', format('linked (%s)', i.provider), null, null, 2, 9
      from rollcall.identities_of(p_user_id) i
    )
    select newest.at, newest.source, newest.happening, newest.details, newest.email
    from (
      select case when isfinite(w.at) then w.at end as at, w.source, w.happening, w.details, w.email, w.rank, w.position
      from whole w
      order by 1 desc nulls last, w.rank desc, w.position desc, w.happening desc
      limit max_entries
    ) newest
    order by newest.at nulls last, newest.rank, newest.position, newest.happening;
end
$$;
comment on function rollcall.user_timeline(uuid) is
  'What happened to one user, oldest first, the newest 200 entries: source is audit log, user, identity, event, profile or repair; details hold codes (an event from before Rollcall may hold anything); email is the address where the source names one.';

create or replace function rollcall.schema_version() returns text
language sql immutable set search_path = '' as $$ select '20261124000610' $$;
comment on function rollcall.schema_version() is
  'The newest migration that was applied as a whole.';

revoke all on all functions in schema rollcall from public, anon, authenticated;
grant execute on function
  rollcall.users_by_email(text), rollcall.user_facts(uuid), rollcall.user_timeline(uuid)
to rollcall_monitor;
