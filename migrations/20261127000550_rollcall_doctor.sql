-- What the doctor cannot read in the catalog.
--
-- Its checks are files of the program (shared/src/checks/doctor/) that read the catalog as the role that connects. Counts of
-- users and profiles need the owner's rights.

create or replace function rollcall.newest_with_profile()
returns table (user_id uuid, signed_up_at timestamptz, is_of_signup boolean, transactions_ago integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set row_security = off set jit = off as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
begin
  return query execute
    'with newest as materialized (
       select u.id, u.xmin as changed_by, u.created_at from auth.users u
       where u.created_at < now() + interval ''5 minutes'' order by u.created_at desc limit 100
     )
     select n.id, n.created_at,
       -- the transaction of the signup wrote it, and that of nobody else
       (n.changed_by = t.xmin or exists (select from auth.identities i where i.user_id = n.id and i.xmin = t.xmin))
         and not exists (select from newest o where o.changed_by = n.changed_by and o.id <> n.id),
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
  is_anonymous constant text := coalesce((
    select 'u.is_anonymous' from pg_attribute a
    where a.attrelid = to_regclass('auth.users') and a.attname = 'is_anonymous' and not a.attisdropped), 'false');
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
    'guarded', (select jsonb_agg(substr(k, length('guard ') + 1)) from jsonb_object_keys(s.replaced) k where k like 'guard %'),
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
    facts := facts || jsonb_build_object('fault', rollcall.definition_fault());
    facts := facts || jsonb_build_object('target', to_regclass(s.target_table)::oid::bigint);
    execute
      'with missing_user as materialized (
         select u.id, u.xmin as made_by, e._signed_up_at, u.confirmed_at is null as is_unconfirmed,
           ' || is_anonymous || ' as is_anonymous,
           ' || case when 'email' = any (s.columns) then 'e.email::text' else 'null::text' end || ' as email
         from (' || s.query || ') e join auth.users u on u.id = e._user_id
         where not ' || rollcall.in_grace(s) || '
           and not exists (select from (' || s.actual_query || ') a where a._user_id = e._user_id)
       ),
       with_profile as materialized (select * from rollcall.newest_with_profile())
       select (
         select jsonb_build_object(
           ''has_anonymous'', bool_or(' || is_anonymous || '),
           ''expects_anonymous'', exists (select from (' || s.query || ') e join auth.users u on u.id = e._user_id where ' || is_anonymous || '),
           ''has_no_email'', bool_or(u.email is null), ''has_no_phone'', bool_or(u.phone is null),
           ''null_tokens'', count(*) filter (where ' || coalesce(null_token, 'false') || '))
         from auth.users u where u.deleted_at is null
       ) || jsonb_build_object(
         ''missing'', (select count(*) from missing_user),
         ''missing_unconfirmed'', (select count(*) from missing_user m where m.is_unconfirmed and not m.is_anonymous),
         ''newest_is_missing'', (select max(m._signed_up_at) from missing_user m)
           > coalesce((select max(p.signed_up_at) from with_profile p), ''-infinity''),
         ''has_profiles'', exists (select from with_profile),
         ''has_profiles_of_signup'', exists (
           select from (select * from with_profile p order by p.signed_up_at desc nulls last limit 3) p where p.is_of_signup),
         -- Supabase Auth makes one user in a transaction
         ''loaded'', (
           select sum(l.users)
           from (select count(*) as users from missing_user m group by m.made_by::text having count(*) >= 10) l),
         ''email_taken'', (
           select count(*) from missing_user m where exists (select from ' || s.target_table || ' t where ' || coalesce(taken_email, 'false') || '))
       )'
      into of_rows;
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
