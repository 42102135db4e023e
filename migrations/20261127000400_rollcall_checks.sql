-- What the checks and reports read. Truth is auth.users against the profile table, by the definition. The audit log is read
-- on request and never decides: hosted projects may switch it off, and it has no index.

create or replace function rollcall.in_grace(p_settings rollcall.settings) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when (p_settings).grace_period = interval '0' then 'false'
    -- a date that nobody can have signed up at yet is no sign of a signup in flight
    else format('coalesce(e._signed_up_at between now() - %L::interval and now() + interval ''5 minutes'', false)', (p_settings).grace_period)
  end
$$;
comment on function rollcall.in_grace(rollcall.settings) is
  'SQL text of the condition that the user e signed up so recently that a missing profile may still come.';

create or replace function rollcall.user_flag(p_column name) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce((
    select format('coalesce(u.%I, false)', a.attname)
    from pg_attribute a where a.attrelid = to_regclass('auth.users') and a.attname = p_column and not a.attisdropped), 'false')
$$;
comment on function rollcall.user_flag(name) is 'SQL text of a yes or no about the user u; no, where Supabase Auth is too old to have the column.';

-- By the ids alone, in the order of two indexes; who of them must have a profile is asked afterwards, of those few.
create or replace function rollcall.unmatched() returns table (user_id uuid, profile_id uuid)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off
set enable_hashjoin = on set enable_seqscan = on set enable_sort = on as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  -- two indexes alone are read in half the time that their tables take, unless much was written since the last vacuum
  perform set_config(o, 'off', true) from unnest(array['enable_hashjoin', 'enable_seqscan', 'enable_sort']) o
  where (select bool_and(c.relallvisible > c.relpages / 2) from pg_class c where c.oid in ('auth.users'::regclass, to_regclass(s.target_table)));
  return query execute
    'select u.id, a._user_id from auth.users u full join (' || s.actual_query || ') a on a._user_id = u.id
     where u.id is null or a._user_id is null';
end
$$;
comment on function rollcall.unmatched() is
  'Users without a profile (profile_id is null), whether they must have one or not, and profiles without a user (user_id is null).';

create or replace function rollcall.user_facts() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  is_anonymous constant text := rollcall.user_flag('is_anonymous');
  null_token constant text := (
    select string_agg(format('u.%I is null', a.attname), ' or ' order by a.attnum)
    from pg_attribute a
    where a.attrelid = to_regclass('auth.users') and not a.attisdropped and a.attname in (
      'confirmation_token', 'recovery_token', 'email_change', 'email_change_token_new', 'email_change_token_current', 'phone_change',
      'phone_change_token', 'reauthentication_token'));
  -- under which unique index an address can be taken
  taken_email constant text := (
    select case when bool_and(i.indexprs is not null) then 'lower(t.email::text) = lower(m.email)' else 't.email::text = m.email' end
    from pg_index i
    where i.indrelid = to_regclass(s.target_table) and i.indisunique and i.indnkeyatts = 1 and 'email' = any (s.columns)
      and pg_get_indexdef(i.indexrelid, 1, false) ~ '^(lower\()?\(?email\M'
    having count(*) > 0);
  of_last_hour constant text := '_signed_up_at between now() - interval ''1 hour'' and now() + interval ''5 minutes''';
  facts jsonb;
begin
  execute
    'with unmatched as materialized (select * from rollcall.unmatched()),
     lost as materialized (
       select e._user_id, e._signed_up_at, ' || rollcall.in_grace(s) || ' as is_in_grace, u.xmin as made_by, u.confirmed_at is null as is_unconfirmed,
         u.email is null and u.phone is not null as has_phone_alone, ' || is_anonymous || ' as is_anonymous,
         ' || rollcall.user_flag('is_sso_user') || ' as is_sso_user,
         ' || case when 'email' = any (s.columns) then 'e.email::text' else 'null::text' end || ' as email
       from unmatched m join (' || s.query || ') e on e._user_id = m.user_id join auth.users u on u.id = m.user_id
     ),
     missing as materialized (select * from lost where not is_in_grace),
     wanted as (select count(*) as users, count(*) filter (where e.' || of_last_hour || ') as of_last_hour from (' || s.query || ') e)
     select (
       select v.facts || jsonb_build_object(
         ''minutes'', count(m.minute), ''days'', count(distinct m.minute::date), ''newest_minute'', max(m.minute),
         ''longest_pause'', extract(epoch from max(m.pause)))
       from (
         select jsonb_build_object(
             ''users'', count(*), ''soft_deleted'', count(*) filter (where u.deleted_at is not null),
             ''has_anonymous'', bool_or(' || is_anonymous || ' and u.deleted_at is null),
             ''has_no_email'', bool_or(u.email is null and u.deleted_at is null), ''has_no_phone'', bool_or(u.phone is null and u.deleted_at is null),
             ''expects_anonymous'', bool_or(' || is_anonymous || ' and u.deleted_at is null)
               and exists (select from (' || s.query || ') e join auth.users u on u.id = e._user_id where ' || is_anonymous || '),
             ''null_tokens'', count(*) filter (where u.deleted_at is null and (' || coalesce(null_token, 'false') || '))) as facts,
           -- an import makes many users in a minute
           array_agg(distinct date_trunc(''minute'', u.created_at)) filter (where u.created_at between now() - interval ''14 days'' and now()) as minutes
         from auth.users u
       ) v
       left join lateral (select n.minute, n.minute - lag(n.minute) over (order by n.minute) as pause from unnest(v.minutes) n (minute)) m on true
       group by v.facts
     ) || (
       select jsonb_build_object(
         ''missing'', count(*), ''missing_anonymous'', count(*) filter (where m.is_anonymous),
         ''missing_phone'', count(*) filter (where m.has_phone_alone), ''missing_sso'', count(*) filter (where m.is_sso_user),
         ''missing_unconfirmed'', count(*) filter (where m.is_unconfirmed and not m.is_anonymous),
         ''missing_of_last_hour'', count(*) filter (where m.' || of_last_hour || '), ''newest_missing_at'', max(m._signed_up_at))
       from missing m
     ) || jsonb_build_object(
       ''expected'', w.users, ''of_last_hour'', w.of_last_hour, ''healthy'', w.users - (select count(*) from lost), ''profiles'', (select count(*) from ' || s.target_table || '),
       ''orphaned'', (select count(*) from unmatched m where m.user_id is null),
       ''newest_missing'', array(select m._user_id from missing m order by m._signed_up_at desc nulls last, m._user_id limit 10),
       -- Supabase Auth makes one user in a transaction
       ''loaded'', (select sum(l.users) from (select count(*) as users from missing m group by m.made_by::text having count(*) >= 10) l),
       ''email_taken'', (select count(*) from missing m where exists (select from ' || s.target_table || ' t where ' || coalesce(taken_email, 'false') || ')))
     from wanted w'
    into facts;
  return facts;
end
$$;
comment on function rollcall.user_facts() is
  'All users against all profiles, both ways, as one document: the counts of rollcall.user_counts(), the signups of the last hour, the pace of two weeks (the minutes and days that had signups, the longest pause between two), and what the doctor''s checks need to know of users. No value of a row but ids.';

create or replace function rollcall.user_counts()
returns table (
  users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint, missing bigint,
  missing_anonymous bigint, missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint, newest_missing uuid[]
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select c.*
  from jsonb_to_record(rollcall.user_facts()) c (
    users bigint, soft_deleted bigint, expected bigint, profiles bigint, healthy bigint, missing bigint,
    missing_anonymous bigint, missing_phone bigint, missing_sso bigint, missing_unconfirmed bigint, orphaned bigint, newest_missing uuid[])
$$;
comment on function rollcall.user_counts() is
  'All users against all profiles, both ways: users, soft-deleted ones, users who must have a profile, profiles, users with theirs, users without (and how many of these are anonymous, have a phone only, came by single sign-on, are unconfirmed), profiles whose user is gone, the ten newest users without. Users in the grace period who have no profile yet are neither healthy nor missing.';

create or replace function rollcall.email_drift(out mismatches bigint, out oldest timestamptz, out newest timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  if exists (select from rollcall.profile_columns() c where c.column_name = 'email' and c.target_type is not null) then
    execute
      'select count(*), min(d.since), max(d.since) from (
         select (select u.updated_at from auth.users u where u.id = e._user_id) as since
         from (' || s.query || ') e join ' || s.target_table || ' t on ' || rollcall.key_as_uuid(s.key_column, s.key_is_uuid) || ' = e._user_id
         where lower(e.email::text) is distinct from lower(t.email::text)
       ) d'
      into mismatches, oldest, newest;
  end if;
end
$$;
comment on function rollcall.email_drift() is
  'Profiles whose e-mail address is not the user''s, but for case (null: the definition has no column email), and when the users of the oldest and the newest drift last changed: their addresses have been what they are at least since then.';

create or replace function rollcall.recent_health(p_window interval)
returns table (check_time timestamptz, signups bigint, missing bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'select now(), count(*), count(*) filter (
       where not ' || rollcall.in_grace(s) || ' and not exists (select from (' || s.actual_query || ') a where a._user_id = e._user_id))
     from (' || s.query || ') e
     where e._signed_up_at between now() - $1 and now() + interval ''5 minutes'''
    using p_window;
end
$$;
comment on function rollcall.recent_health(interval) is
  'Signups of the last so many minutes that must have a profile, and how many of them have none although the grace period is over.';

create or replace function rollcall.audit_events(p_since timestamptz default null, p_user_id uuid default null)
returns table (action text, user_id uuid, email text, created_at timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp set row_security = off rows 100000 as $$
begin
  if to_regclass('auth.audit_log_entries') is null then
    return;
  end if;
  return query execute
    'select l.action, coalesce(l.about, nullif(l.actor, ''00000000-0000-0000-0000-000000000000'')),
       case when l.about is not null then nullif(l.traits ->> ''user_email'', '''') when l.actor_username like ''%@%'' then l.actor_username end,
       l.created_at
     from (
       select entry.created_at, parsed.action, parsed.actor_username, parsed.traits, ' || rollcall.text_as_uuid('parsed.actor_id') || ' as actor,
         -- an administrator acted on somebody else
         case when json_typeof(parsed.traits) = ''object'' then ' || rollcall.text_as_uuid('(parsed.traits ->> ''user_id'')') || ' end as about
       from auth.audit_log_entries entry
       cross join lateral json_to_record(
         -- \u0000 and lone surrogates are valid in json and cannot become text; they stand in names only
         case when strpos(entry.payload::text, ''\u'') > 0
           then regexp_replace(entry.payload::text, ''\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})'', ''\\u003f'', ''g'')::json else entry.payload::json end
       ) parsed (action text, actor_id text, actor_username text, traits json)
       where ($1 is null or entry.created_at between $1 and now() + interval ''5 minutes'')
         -- most entries are sign-ins: a look at the text spares them the parser
         and strpos(entry.payload::text, ''"user_'') > 0 and json_typeof(entry.payload::json) = ''object''
         and ($2 is null or strpos(lower(entry.payload::text), $2::text) > 0)
         and parsed.action in (''user_signedup'', ''user_invited'', ''user_confirmation_requested'', ''user_deleted'')
       -- each worked out once
       offset 0
     ) l
     where $2 is null or coalesce(l.about, l.actor) = $2'
    using p_since, p_user_id;
end
$$;
comment on function rollcall.audit_events(timestamptz, uuid) is
  'Signups and deletions in auth.audit_log_entries with their subject: traits.user_id if it is a uuid (an administrator acted), else the actor. user_id is null where the entry names nobody. Reads the whole log.';

create or replace function rollcall.audit_log_state() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  tail tid;
  newest timestamptz;
  activity timestamptz;
begin
  perform rollcall.refuse_api_roles();
  if to_regclass('auth.audit_log_entries') is not null then
    -- there is no index; what was written last most often stands last
    tail := format('(%s,0)', greatest(0, pg_relation_size('auth.audit_log_entries') / 8192 - 100));
    select max(l.created_at) into newest from auth.audit_log_entries l where l.ctid >= tail;
    if coalesce(newest < now() - interval '1 hour', true) then
      select max(l.created_at) into newest from auth.audit_log_entries l;
    end if;
  end if;
  if newest is null then
    return 'off';
  elsif newest >= now() - interval '1 hour' then
    return 'on';
  end if;
  -- a signup or a sign-in writes an entry within its own request; anonymous ones write none, and have no address
  select max(greatest(u.created_at, u.last_sign_in_at)) into activity
  from auth.users u
  where (u.email is not null or u.phone is not null) and greatest(u.created_at, u.last_sign_in_at) < now() + interval '5 minutes';
  return case when newest < activity - interval '1 hour' then 'stale' else 'on' end;
end
$$;
comment on function rollcall.audit_log_state() is
  'on: the audit log is written to PostgreSQL; stale: users are newer than its newest entry by over an hour; off: it has no entry. Hosted projects may switch it off (Authentication, Audit Logs).';

create or replace function rollcall.audit_counts()
returns table (signups bigint, audit_only bigint, recorded_deletions bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
begin
  perform rollcall.refuse_api_roles();
  return query
    select count(*) filter (where l.signed_up),
      count(*) filter (where l.signed_up and u.id is null),
      count(*) filter (where l.signed_up and l.deleted)
    from (
      select e.user_id, bool_or(e.action <> 'user_deleted') as signed_up, bool_or(e.action = 'user_deleted') as deleted
      from rollcall.audit_events() e
      where e.user_id is not null
      group by e.user_id
    ) l
    left join auth.users u on u.id = l.user_id;
end
$$;
comment on function rollcall.audit_counts() is
  'Users in the audit log: with a signup, of these without a row in auth.users, of these with a recorded deletion (soft or hard).';

create or replace function rollcall.recent_issues(p_window interval, p_with_log boolean default true)
returns table (user_id uuid, email text, action text, created_at timestamptz, has_auth_user boolean, has_profile boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'with missing_user as materialized (
       select e._user_id, e._signed_up_at from (' || s.query || ') e
       where e._signed_up_at between now() - $1 and now() + interval ''5 minutes'' and not ' || rollcall.in_grace(s) || '
         and not exists (select from (' || s.actual_query || ') a where a._user_id = e._user_id)
     ),
     logged as materialized (
       select distinct on (l.user_id) l.user_id, l.email, l.action, l.created_at
       from rollcall.audit_events(now() - $1) l
       where $3 and l.user_id is not null
       -- a recorded deletion explains why the user is gone
       order by l.user_id, (l.action = ''user_deleted'') desc, l.created_at
     )
     select m._user_id, case when $2 then coalesce(u.email::text, l.email) end, l.action, m._signed_up_at, true, false
     from missing_user m
     join auth.users u on u.id = m._user_id
     left join logged l on l.user_id = m._user_id and l.action <> ''user_deleted''
     union all
     select l.user_id, case when $2 then l.email end, l.action, l.created_at, false,
       exists (select from (' || s.actual_query || ') a where a._user_id = l.user_id)
     from logged l
     where l.action <> ''user_deleted'' and not exists (select from auth.users u where u.id = l.user_id)
     order by 4 desc'
    using p_window, rollcall.is_trusted(), p_with_log;
end
$$;
comment on function rollcall.recent_issues(interval, boolean) is
  'Signups of the last so many minutes that have no profile although the grace period is over, and with the audit log those whose user vanished without a recorded deletion; newest first. E-mail addresses only for a trusted role.';

create or replace function rollcall.mismatches(p_limit bigint default null, p_with_healthy boolean default false)
returns table (
  user_id uuid, audit_email text, action text, audit_created_at timestamptz, auth_user_id uuid, auth_email text, user_created_at timestamptz,
  profile_id uuid, profile_email text, profile_created_at timestamptz, status text, missing bigint, total bigint
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'with signup as materialized (
       select distinct on (l.user_id) l.user_id, l.email, l.action, l.created_at
       from rollcall.audit_events() l
       where l.user_id is not null and l.action <> ''user_deleted''
       order by l.user_id, l.created_at
     ),
     pair as materialized (
       select e._user_id as user_id, null::uuid as profile_id, null::text as profile_email, null::timestamptz as profile_created_at, ''auth_only'' as status
       from rollcall.unmatched() m join (' || s.query || ') e on e._user_id = m.user_id
       where not ' || rollcall.in_grace(s) || '
       union all
       select e._user_id, a._user_id, a.email, a._created_at, ''healthy''
       from (' || s.query || ') e
       join (' || s.actual_query || ') a on a._user_id = e._user_id
       where $2
     ),
     gone as materialized (
       select l.user_id, a._user_id as profile_id, a.email as profile_email, a._created_at as profile_created_at, ''audit_only'' as status
       from signup l
       left join (' || s.actual_query || ') a on a._user_id = l.user_id
       -- a user who is there without being expected to have a profile (soft-deleted, say) is none of these
       where not exists (select from auth.users u where u.id = l.user_id)
     ),
     listed as (select * from pair union all select * from gone)
     select w.user_id, case when $3 then l.email end, l.action, l.created_at,
       u.id, case when $3 then u.email::text end, u.created_at,
       w.profile_id, case when $3 then w.profile_email end, w.profile_created_at, w.status,
       (select count(*) from pair where pair.status = ''auth_only''),
       (select count(*) from pair where pair.status = ''auth_only'') + (select count(*) from gone)
     from listed w
     left join auth.users u on u.id = w.user_id
     left join signup l on l.user_id = w.user_id
     order by coalesce(u.created_at, l.created_at) desc nulls last, w.user_id
     limit $1'
    using p_limit, p_with_healthy, rollcall.is_trusted();
end
$$;
comment on function rollcall.mismatches(bigint, boolean) is
  'Users without a profile (auth_only) and users of the audit log who are gone (audit_only), newest first, with p_with_healthy also everybody else who must have a profile; at most p_limit (null: all). Each row also says how many are missing and how many are listed in all. E-mail addresses only for a trusted role. Reads the whole audit log.';

create or replace function rollcall.recent_errors(p_limit integer default 10)
returns table (created_at timestamptz, user_id uuid, kind text, sqlstate text, constraint_name text, column_name text, functions text[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.created_at, e.user_id, e.kind, e.payload ->> 'sqlstate', e.payload ->> 'constraint', e.payload ->> 'column',
    case when jsonb_typeof(e.payload -> 'functions') = 'array' then array(select jsonb_array_elements_text(e.payload -> 'functions')) else '{}' end
  from rollcall.refuse_api_roles(), rollcall.event e
  where e.kind in ('profile_bootstrap_error', 'profile_backfill_error')
  order by e.created_at desc, e.id desc
  limit p_limit
$$;
comment on function rollcall.recent_errors(integer) is
  'The newest events of profiles that could not be created, by signup or repair: error codes, and the functions in which it failed.';

create or replace function rollcall.user_events(p_user_id uuid)
returns table (event_id bigint, kind text, payload jsonb, created_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  theirs constant regclass := (
    -- the application's own table of that name, where it has the same columns
    select c.oid
    from pg_class c
    where c.oid = to_regclass('public.user_events') and c.relkind in ('r', 'p') and rollcall.is_trusted()
      and 5 = (
        select count(*) from pg_attribute a
        where a.attrelid = c.oid and not a.attisdropped
          and (a.attname, format_type(a.atttypid, null)) in (
            ('id', 'bigint'), ('user_id', 'uuid'), ('kind', 'text'), ('payload', 'jsonb'), ('created_at', 'timestamp with time zone')))
  );
begin
  perform rollcall.refuse_api_roles();
  return query execute
    'select v.* from (
       select e.id, e.kind, e.payload, e.created_at from rollcall.event e where e.user_id = $1'
    || case when theirs is not null then
      ' union all select t.id, t.kind, t.payload, t.created_at from public.user_events t where t.user_id = $1' else '' end
    || ') v (event_id, kind, payload, created_at) order by v.created_at, v.event_id'
    using p_user_id;
end
$$;
comment on function rollcall.user_events(uuid) is
  'What happened between a user''s signup and profile, oldest first; for a trusted role with the rows of a table public.user_events of the application''s, if it has the same columns.';

create or replace function rollcall.user_record(p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  shows_email constant boolean := rollcall.is_trusted();
  expected jsonb;
  profile jsonb;
begin
  execute
    'select (select jsonb_build_object(''is_in_grace'', ' || rollcall.in_grace(s) || ', ''email'', '
      || case when 'email' = any (s.columns) then 'e.email::text' else 'null' end || ')
       from (' || s.query || ') e where e._user_id = $1 limit 1),
     (select jsonb_build_object(''created_at'', a._created_at, ''email'', a.email) from (' || s.actual_query || ') a where a._user_id = $1 limit 1)'
    into expected, profile using p_user_id;
  return jsonb_build_object(
    'user', (
      select jsonb_object_agg(k.key, k.value) || jsonb_build_object('has_email', u.email is not null, 'has_phone', u.phone is not null)
      from auth.users u
      cross join lateral jsonb_each(to_jsonb(u)) k
      where u.id = p_user_id
        and (k.key in ('created_at', 'invited_at', 'confirmation_sent_at', 'email_confirmed_at', 'phone_confirmed_at', 'confirmed_at',
            'last_sign_in_at', 'banned_until', 'deleted_at', 'is_anonymous', 'is_sso_user')
          or shows_email and k.key = 'email')
      group by u.email, u.phone),
    'is_expected', expected is not null,
    'is_in_grace', coalesce((expected ->> 'is_in_grace')::boolean, false),
    'email_differs', 'email' = any (s.columns) and expected is not null and profile is not null
      and lower(expected ->> 'email') is distinct from lower(profile ->> 'email'),
    'profile', case when shows_email then profile else profile - 'email' end,
    'identities', (
      select coalesce(jsonb_agg(jsonb_build_object('created_at', i.created_at, 'provider', i.provider)), '[]')
      from auth.identities i where i.user_id = p_user_id),
    'audit_log', rollcall.audit_log_state(),
    'audit_events', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'action', l.action, 'created_at', l.created_at, 'email', case when shows_email then l.email end)), '[]')
      from rollcall.audit_events(null, p_user_id) l),
    'events', (select coalesce(jsonb_agg(to_jsonb(v)), '[]') from rollcall.user_events(p_user_id) v),
    'failure', (
      select to_jsonb(f) from rollcall.failure f where f.user_id = p_user_id));
end
$$;
comment on function rollcall.user_record(uuid) is
  'Everything on record of one user, from every source, as one document: what they are, whether a profile is expected and there, identities, audit log, events, the failure of the newest repair. E-mail addresses only for a trusted role.';

create or replace function rollcall.forget_old() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before constant timestamptz := (select now() - make_interval(days => s.keep_days) from rollcall.settings s);
  r record;
begin
  perform rollcall.refuse_api_roles();
  -- a little at a time, oldest first
  for r in
    select * from (values
      ('event', 'id', 'created_at', 1000), ('check_run', 'id', 'checked_at', 1000), ('message', 'id', 'created_at', 1000),
      ('incident', 'id', 'resolved_at', 1000), ('failure', 'user_id', 'last_failed_at', 1000), ('run', 'run_id', 'updated_at', 10)
    ) x (name, key, moment, at_most)
  loop
    execute format('delete from rollcall.%1$I x where x.%2$I in (
      select o.%2$I from rollcall.%1$I o where o.%3$I < $1 order by o.%3$I limit %4$s for update skip locked)', r.name, r.key, r.moment, r.at_most)
      using before;
  end loop;
end
$$;
comment on function rollcall.forget_old() is
  'Deletes events, checks, resolved incidents, failures and ended runs that are older than rollcall.settings.keep_days, a little at a time. Every scheduled check and every repair calls it.';

create or replace function rollcall.record_check(p_check text, p_verdict text, p_finding_ids text[], p_counts jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform rollcall.refuse_api_roles();
  -- what a reader may write stays small, and has the server's time
  insert into rollcall.check_run (check_name, checked_at, verdict, finding_ids, counts)
  values (p_check, now(), p_verdict, p_finding_ids[:100], case when length(p_counts::text) <= 4096 then p_counts else '{}' end);
  perform rollcall.forget_old();
end
$$;
comment on function rollcall.record_check(text, text, text[], jsonb) is 'Keeps what a scheduled check said just now.';

create or replace function rollcall.check_history(p_check text, p_since timestamptz)
returns table (checked_at timestamptz, verdict text, finding_ids text[], counts jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select r.checked_at, r.verdict, r.finding_ids, r.counts
  from rollcall.refuse_api_roles(), rollcall.check_run r
  where r.check_name = p_check and r.checked_at >= p_since
  order by r.checked_at desc
  limit 2000
$$;
comment on function rollcall.check_history(text, timestamptz) is 'Scheduled checks since a moment, newest first, at most 2,000.';

create or replace function rollcall.recent_window(p_shortest interval) returns interval
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select least(
    greatest(
      p_shortest,
      -- half a window of overlap, since a signup is dated when its transaction begins and seen when it ends
      now() - (
        -- a clock that was ahead once hides nothing
        select max(r.checked_at) from rollcall.check_run r where r.check_name = 'recent' and r.verdict <> 'unknown' and r.checked_at <= now()
      ) + p_shortest / 2
    ),
    interval '7 days'
  )
$$;
comment on function rollcall.recent_window(interval) is
  'How far the check of recent signups has to look back: at least this long, and to a little before the newest one that could look; at most 7 days, which the check of everyone covers.';

create or replace function rollcall.newest_with_profile()
returns table (user_id uuid, signed_up_at timestamptz, is_of_signup boolean, transactions_ago integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'with newest as materialized (
       select u.id, u.xmin as changed_by, u.created_at, u.updated_at, u.email_change_sent_at from auth.users u
       where u.created_at < now() + interval ''5 minutes'' order by u.created_at desc limit 100
     )
     select n.id, n.created_at,
       -- the transaction of the signup wrote it, and that of nobody else; a change of the address may write user and profile, too
       (n.changed_by = t.xmin and (n.updated_at > n.created_at + interval ''1 minute'') is not true or exists (select from auth.identities i where i.user_id = n.id and i.xmin = t.xmin))
         and n.email_change_sent_at is null and not exists (select from newest o where o.changed_by = n.changed_by and o.id <> n.id),
       age(t.xmin)
     from newest n join ' || s.target_table || ' t on ' || rollcall.key_match(s, 'n.id') || '
     where not exists (select from rollcall.event v where v.user_id = n.id and v.kind = ''profile_backfilled'')';
end
$$;
comment on function rollcall.newest_with_profile() is
  'Of the 100 newest users those who have a profile that no repair created: whether the signup itself did, and how many transactions ago.';

create or replace function rollcall.row_facts() returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
  s constant rollcall.settings := (select x from rollcall.settings x);
  facts jsonb;
  of_rows jsonb;
  code text;
  reason text;
  hint text;
begin
  perform rollcall.refuse_api_roles(), rollcall.distrust_session();
  facts := jsonb_build_object(
    'application_path', string_to_array(rollcall.application_path(), ', '),
    'has_definition', s.target_table is not null, 'target_name', s.target_table, 'key_column', s.key_column, 'columns', s.columns,
    'stopped_below', s.stopped_below, 'guarded', (select jsonb_agg(substr(k, length('guard ') + 1)) from jsonb_object_keys(s.replaced) k where k like 'guard %'),
    'has_made_profiles', exists (select from rollcall.event v where v.kind = 'profile_bootstrap_ok'),
    'failures', (
      select jsonb_object_agg(f.name, f.signups)
      from (
        -- innermost first
        select coalesce(v.payload #>> '{functions,0}', '') as name, count(distinct v.user_id) as signups
        from rollcall.event v
        where v.kind = 'profile_bootstrap_error' and v.created_at > now() - interval '24 hours'
          and v.id > coalesce((
            select max(w.id) from rollcall.event w where w.kind = 'profile_bootstrap_ok' and w.created_at > now() - interval '24 hours'), 0)
        group by 1
        order by 2 desc
        limit 5
      ) f));
  if s.target_table is null then
    return facts;
  end if;

  begin
    facts := facts || jsonb_build_object('fault', rollcall.definition_fault(), 'target', to_regclass(s.target_table)::oid::bigint);
    of_rows := rollcall.user_facts();
    select of_rows || jsonb_build_object(
        'newest_is_missing', (of_rows ->> 'newest_missing_at')::timestamptz > coalesce(max(p.signed_up_at), '-infinity'),
        'has_profiles', count(*) > 0,
        'has_profiles_of_signup', coalesce(bool_or(p.is_of_signup) filter (where p.place <= 3), false))
      into of_rows
    from (select n.*, row_number() over (order by n.signed_up_at desc nulls last) as place from rollcall.newest_with_profile() n) p;
    return facts || of_rows;
  exception when others then
    get stacked diagnostics code = returned_sqlstate, reason = message_text, hint = pg_exception_hint;
    -- nobody has found anything wrong: it could not be looked at now
    if code in ('55P03', '57014', '40P01', '40001') or left(code, 2) in ('08', '53', '57', '58') then
      raise;
    end if;
    return facts || jsonb_build_object(
      'unreadable', code,
      'reason', case when reason like 'rollcall: %' then substr(reason, length('rollcall: ') + 1) end,
      'hint', case when reason like 'rollcall: %' then hint end);
  end;
end
$$;
comment on function rollcall.row_facts() is
  'What the doctor''s checks need to know of rows, as one document: the definition''s table and key, whether it can be read and why not, counts of users, and in which functions signups failed in the last 24 hours. No value of a row.';
