-- What a consistent project looks like.
--
-- Makes the private schema rollcall with the two views that everything else reads:
--   rollcall.expected_profile  who must have a profile, and what a new one contains
--   rollcall.actual_profile    the profiles there are
-- A profiles table that already exists is left as it is, and the first expected_profile is drafted from
-- its columns; where there is none, public.profiles is created. An expected_profile that exists is never replaced.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create schema if not exists rollcall;
comment on schema rollcall is
  'Rollcall: finds, explains and repairs signups without a profile. Private: never expose it through PostgREST.';
revoke all on schema rollcall from public, anon, authenticated;

-- The table, its key, and the columns a repair fills --------------------------------------------------------------

-- These run in every signup. As plpgsql they are planned once in a connection; an SQL function with settings of its own
-- is planned at every call.
create or replace function rollcall.profile_table() returns regclass
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(
    (
      select t.typrelid::regclass
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_type t on t.oid = a.atttypid
      where a.attrelid = to_regclass('rollcall.expected_profile')
        and a.attname = '_profile'
        and t.typrelid <> 0
    ),
    to_regclass('public.profiles')
  );
end
$$;
comment on function rollcall.profile_table() is
  'The application''s profile table: the row type of the service column _profile of rollcall.expected_profile (null::public.members as _profile), else public.profiles. Null where neither exists.';

-- A key that fills itself (gen_random_uuid()) is not the user's id, nor is one beside a column that references
-- auth.users; and a unique text column is one only by its name: an e-mail address is unique text, too.
create or replace function rollcall.profile_key() returns name
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
begin
  return (
    select a.attname
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    cross join lateral (
      select
        exists (
          select from pg_catalog.pg_constraint f
          where f.conrelid = target and f.contype = 'f' and f.confrelid = 'auth.users'::regclass and f.conkey = array[a.attnum]
        ) as references_users,
        a.attname in ('id', 'user_id', 'auth_id', 'auth_user_id', 'uid', 'profile_id') as named_like_a_user
    ) hint
    where i.indrelid = target
      and i.indisunique and i.indisvalid and i.indimmediate
      and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null
      and a.atttypid in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
      and (
        hint.references_users
        or (
          not a.atthasdef
          and (hint.named_like_a_user or (i.indisprimary and a.atttypid = 'uuid'::regtype))
          and not exists (
            select from pg_catalog.pg_constraint f
            where f.conrelid = target and f.contype = 'f' and f.confrelid = 'auth.users'::regclass
          )
        )
      )
      and (
        to_regclass('rollcall.expected_profile') is null
        or exists (
          select from pg_catalog.pg_attribute e
          where e.attrelid = to_regclass('rollcall.expected_profile') and e.attname = a.attname and not e.attisdropped
        )
      )
    order by hint.references_users desc, i.indisprimary desc, hint.named_like_a_user desc, a.attname
    limit 1
  );
end
$$;
comment on function rollcall.profile_key() is
  'The column of the profile table that holds the user''s id: uuid or text with a unique index of its own, by preference the one that references auth.users. Null where there is none.';

create or replace function rollcall.profile_columns()
returns table (column_name name, target_type text)
language plpgsql stable set search_path = '' as $$
declare
  target constant regclass := rollcall.profile_table();
begin
  return query
    select e.attname, pg_catalog.format_type(t.atttypid, -1)
    from pg_catalog.pg_attribute e
    left join pg_catalog.pg_attribute t
      on t.attrelid = target and t.attname = e.attname and t.attnum > 0 and not t.attisdropped
    where e.attrelid = to_regclass('rollcall.expected_profile')
      and e.attnum > 0 and not e.attisdropped
      and left(e.attname, 1) <> '_'
    order by e.attnum;
end
$$;
comment on function rollcall.profile_columns() is
  'The columns that a created profile is given, by the names of rollcall.expected_profile, with their type in the profile table without its modifier; a null type means that the table has no such column.';

create or replace function rollcall.unfilled_columns() returns setof name
language sql stable set search_path = '' as $$
  select t.attname
  from pg_catalog.pg_attribute t
  join pg_catalog.pg_type d on d.oid = t.atttypid
  where t.attrelid = rollcall.profile_table()
    and t.attnum > 0 and not t.attisdropped
    -- a domain may demand a value, or have a default, of its own
    and (t.attnotnull or d.typnotnull) and not t.atthasdef and d.typdefault is null
    and t.attidentity = '' and t.attgenerated = ''
    and not exists (select from rollcall.profile_columns() c where c.column_name = t.attname)
    -- a trigger of the application may fill them before they are looked at
    and not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = t.attrelid and not g.tgisinternal and g.tgenabled in ('O', 'A')
        and g.tgtype & 1 = 1 and g.tgtype & 2 = 2 and g.tgtype & 4 = 4  -- for each row, before, insert
    )
  order by t.attnum
$$;
comment on function rollcall.unfilled_columns() is
  'Columns of the profile table that must not be null, have no default, and are not in rollcall.expected_profile: every insert would fail on them. Empty when the definition fits the table, or a trigger before insert may fill them.';

-- Drafts of the two views from the columns that are there ---------------------------------------------------------

-- Values that a user may choose for himself at signup. What a user writes never picks anything else, so no
-- privilege can be signed up for.
create or replace function rollcall.self_service_account_types() returns text[]
language sql immutable set search_path = '' as $$
  select array['customer', 'donor', 'investor', 'partner', 'professional', 'service_provider', 'sme', 'sole_proprietor']
$$;
comment on function rollcall.self_service_account_types() is
  'The account types that a signup may ask for in its metadata; everything else gets the column''s default.';

create or replace function rollcall.draft_metadata_text(p_max_length integer, variadic p_keys text[]) returns text
language sql immutable set search_path = '' as $$
  select format(
    'left(coalesce(%s), %s)',
    string_agg(format('nullif(btrim(u.raw_user_meta_data ->> %L), '''')', k.key), ', ' order by k.position),
    p_max_length
  )
  from unnest(p_keys) with ordinality as k (key, position)
$$;
comment on function rollcall.draft_metadata_text(integer, text[]) is
  'SQL text of the first non-empty of some metadata keys, cut to a length in characters: metadata is written by the user and may be of any size.';

create or replace function rollcall.draft_account_type(p_type oid, p_default text, p_required boolean, p_max_length integer, p_key text) returns text
language plpgsql stable set search_path = '' as $$
declare
  default_label constant text := lower(substring(p_default from '^''([^'']*)'''));
  known constant text[] := rollcall.self_service_account_types();
  labels text[];
  choice text;
begin
  if exists (select from pg_catalog.pg_enum e where e.enumtypid = p_type) then
    select array_agg(e.enumlabel::text order by e.enumsortorder) into labels
    from pg_catalog.pg_enum e
    where e.enumtypid = p_type and lower(e.enumlabel) = any (known);
  elsif p_type in ('text'::regtype, 'varchar'::regtype) then
    select array_agg(l) into labels from unnest(known) l where length(l) <= p_max_length;
  end if;

  -- A default of another kind ('free') tells that the values mean something else here, perhaps a paid plan:
  -- then nobody chooses one for himself.
  if labels is null or (default_label is not null and default_label <> all (known)) then
    return null;
  end if;

  select format('case lower(u.raw_user_meta_data ->> %L)%s end', p_key, string_agg(format(' when %L then %L', lower(l), l), ''))
    into choice
  from unnest(labels) l;

  return case
    when p_default is not null then format('coalesce(%s, (%s)::text)', choice, p_default)
    when p_required then format('coalesce(%s, %L)', choice, coalesce((select l from unnest(labels) l where lower(l) = 'sme'), labels[1]))
    else choice
  end;
end
$$;
comment on function rollcall.draft_account_type(oid, text, boolean, integer, text) is
  'SQL text for an account type: the signup''s wish if it is on the allow-list and the column knows it, else the column''s default. Null: leave the column to its default.';

create or replace function rollcall.draft_expected_profile() returns text
language plpgsql stable set search_path = '' as $$
declare
  key constant name := rollcall.profile_key();
  select_list text := 'u.id as _user_id, u.created_at as _signed_up_at';
  source text;
  fallback text;
  c record;
begin
  if key is null then
    raise exception 'rollcall: % has no column that can hold a user''s id', coalesce(rollcall.profile_table()::text, 'the profile table')
      using errcode = 'invalid_table_definition',
        detail = 'A repair must find one row for one user, so it needs a uuid or text column with a unique index of its own, not deferrable, without a default unless it references auth.users.',
        hint = 'Add one, for instance: alter table public.profiles add constraint profiles_user_id_key unique (user_id); then run this migration again.';
  end if;

  for c in
    select
      a.attname,
      a.atttypid,
      a.attnotnull as required,
      pg_catalog.pg_get_expr(d.adbin, d.adrelid) as default_value,
      t.typcategory = 'S' and t.typtype = 'b' as is_text,
      t.typcategory = 'D' as is_time,
      -- 255 holds every name and address; a shorter varchar(n) sets its own limit
      least(255, case when a.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4 then a.atttypmod - 4 end) as max_length,
      t.typtype = 'd'
        or exists (
          select from pg_catalog.pg_constraint k
          where k.conrelid = a.attrelid and k.contype in ('c', 'f', 'x') and a.attnum = any (k.conkey)
        ) as is_checked,
      exists (
        select from pg_catalog.pg_index i
        where i.indrelid = a.attrelid and i.indisunique
          and (
            a.attnum = any (i.indkey::smallint[])
            -- or in an expression of the index, as lower(username)
            or exists (
              select from pg_catalog.pg_depend e
              where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = i.indexrelid
                and e.refclassid = 'pg_catalog.pg_class'::regclass and e.refobjid = a.attrelid and e.refobjsubid = a.attnum
            )
          )
      ) as is_unique
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = rollcall.profile_table()
      and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
    order by a.attnum
  loop
    source := null;
    fallback := null;

    case
      when c.attname = key then
        source := case when c.atttypid = 'uuid'::regtype then 'u.id' else 'u.id::text' end;

      -- a default that calls a function (a sequence, a random name) is the column's own affair
      when c.default_value like '%(%' then
        continue;

      when c.attname in ('account_type', 'profile_type', 'user_type') then
        -- a constraint may know fewer values than the allow-list
        if not c.is_checked then
          source := rollcall.draft_account_type(c.atttypid, c.default_value, c.required, c.max_length, c.attname);
        end if;

      when c.is_text and c.attname in ('email', 'email_address', 'user_email') then
        source := 'u.email::text';
        fallback := '''missing-email-'' || u.id || ''@example.invalid''';
      when c.is_text and c.attname in ('phone', 'phone_number', 'msisdn') then
        -- Supabase Auth stores up to 15 digits without a plus sign, which a check or a short column may refuse
        source := case when c.required or not (c.is_checked or c.max_length < 15) then 'u.phone' end;
        fallback := case when not c.is_unique then '''''' end;

      -- What a person says about himself must not cost him his profile, so it stays out of every column that may
      -- refuse it: 'john' is taken, 'jo' is too short.
      when c.is_text and c.attname in ('username', 'user_name') then
        if not (c.is_checked or c.is_unique) then
          source := rollcall.draft_metadata_text(c.max_length, 'username', 'user_name', 'preferred_username');
        end if;
        fallback := format('left(''user_'' || replace(u.id::text, ''-'', ''''), %s)', c.max_length);
        source := coalesce(source, case when c.required and not c.is_checked and c.default_value is null then fallback end);
      when c.is_checked or c.is_unique then
        continue;
      when c.is_text and c.attname in ('full_name', 'name', 'display_name') then
        source := rollcall.draft_metadata_text(c.max_length, 'full_name', 'name', 'display_name');
        fallback := '''''';
      when c.is_text and c.attname in ('first_name', 'given_name') then
        source := rollcall.draft_metadata_text(c.max_length, 'first_name', 'given_name');
        fallback := '''''';
      when c.is_text and c.attname in ('last_name', 'family_name') then
        source := rollcall.draft_metadata_text(c.max_length, 'last_name', 'family_name');
        fallback := '''''';
      when c.is_text and c.attname in ('avatar_url', 'picture') then
        source := rollcall.draft_metadata_text(case when c.max_length = 255 then 2048 else c.max_length end, 'avatar_url', 'picture');
        fallback := '''''';
      when c.is_time and c.attname in ('created_at', 'updated_at', 'inserted_at', 'joined_at') and c.required and c.default_value is null then
        source := 'u.created_at';
        fallback := 'now()';
      else
        null;
    end case;

    -- A default or a fallback keeps the promise of a column that must have a value; account types bring their own.
    if source is not null and c.attname <> key and c.attname not in ('account_type', 'profile_type', 'user_type') then
      if c.default_value is not null then
        source := format('coalesce(%s, (%s)%s)', source, c.default_value, case when c.is_text then '::text' else '' end);
      elsif c.required and fallback is not null and source <> fallback then
        source := format('coalesce(%s, %s)', source, fallback);
      end if;
    end if;
    if source is not null then
      select_list := select_list || format(', %s as %I', source, c.attname);
    end if;
  end loop;

  return format('select %s from auth.users u where u.deleted_at is null', select_list);
end
$$;
comment on function rollcall.draft_expected_profile() is
  'SQL text of a first rollcall.expected_profile for the profile table as it is: key, e-mail, phone, names, account type, by column name. Everyone who is not soft-deleted must have a profile.';

create or replace function rollcall.draft_actual_profile() returns text
language sql stable set search_path = '' as $$
  select format(
    'select %s as _user_id, %s as _created_at, %s as email from %s p',
    case when key.atttypid = 'uuid'::regtype then format('p.%I', key.attname)
      -- a text key may hold anything; what is no uuid belongs to no user
      else format('case when p.%1$I ~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' then p.%1$I::uuid end', key.attname)
    end,
    case when has.created_at then 'p.created_at::timestamptz' else 'null::timestamptz' end,
    case when has.email then 'p.email::text' else 'null::text' end,
    key.attrelid::regclass
  )
  from pg_catalog.pg_attribute key
  cross join lateral (
    select
      bool_or(a.attname = 'email') as email,
      bool_or(a.attname = 'created_at' and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)) as created_at
    from pg_catalog.pg_attribute a
    where a.attrelid = key.attrelid and a.attnum > 0 and not a.attisdropped
  ) has
  where key.attrelid = rollcall.profile_table() and key.attname = rollcall.profile_key()
$$;
comment on function rollcall.draft_actual_profile() is
  'SQL text of rollcall.actual_profile for the profile table and key that rollcall.expected_profile names.';

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
  return rollcall.profile_table();
end
$$;
comment on function rollcall.adopt_profile_table() is
  'Makes rollcall.actual_profile anew for the table that rollcall.expected_profile names. Call it after an edit that changes the table or its key.';

-- The table, where there is none, and the two views ---------------------------------------------------------------

do $$
declare
  -- Supabase's own way to ask who is calling; a database without it still has the claims
  caller constant text := case
    when to_regprocedure('auth.uid()') is not null then '(select auth.uid())'
    else '(select nullif(nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb ->> ''sub'', '''')::uuid)'
  end;
begin
  if rollcall.profile_table() is not null then
    return;
  end if;

  -- The reference locks auth.users: whoever waits for that makes every signup behind it wait, too.
  perform set_config('lock_timeout', '2s', true);
  create table public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    email text,
    account_type text not null default 'sme',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  );
  comment on table public.profiles is 'One row for each user of the application.';
  comment on column public.profiles.email is 'Not unique: single sign-on users may share an address. Null for users without one (phone, anonymous, web3).';
  comment on column public.profiles.account_type is 'What the user is in the application. A user cannot change his own.';

  alter table public.profiles enable row level security;
  execute format('create policy profiles_select_own on public.profiles for select to authenticated using (%s = id)', caller);
  execute format('create policy profiles_insert_own on public.profiles for insert to authenticated with check (%s = id)', caller);
  execute format('create policy profiles_update_own on public.profiles for update to authenticated using (%1$s = id) with check (%1$s = id)', caller);
  comment on policy profiles_select_own on public.profiles is 'Users read their own profile.';
  comment on policy profiles_insert_own on public.profiles is 'Users make their own profile where it is missing.';
  comment on policy profiles_update_own on public.profiles is 'Users change their own profile, in the columns they were granted.';
  revoke all on public.profiles from public, anon, authenticated;
  grant select, insert (id, email), update (email, updated_at) on public.profiles to authenticated;
  grant select, insert, update, delete on public.profiles to service_role;
end
$$;

do $$
declare
  unfilled text;
begin
  if (select c.relkind not in ('r', 'p') from pg_catalog.pg_class c where c.oid = rollcall.profile_table()) then
    raise exception 'rollcall: % is not a table', rollcall.profile_table()
      using errcode = 'wrong_object_type',
        hint = 'Create the view rollcall.expected_profile first, with the service column null::SCHEMA.TABLE as _profile that names the table behind it; then run this migration again.';
  end if;

  -- A repair as a role that may not insert would fail for everyone, where the application's own trigger may well work.
  if not has_table_privilege(rollcall.profile_table(), 'select')
    or not has_table_privilege(rollcall.profile_table(), 'insert')
    or row_security_active(rollcall.profile_table()) then
    raise exception 'rollcall: the role % may not insert into % freely', current_user, rollcall.profile_table()
      using errcode = 'insufficient_privilege',
        hint = 'Grant select and insert on the table to this role, and let it bypass row level security (the role postgres of Supabase does), then run this migration again.';
  end if;

  if to_regclass('rollcall.expected_profile') is null then
    execute 'create view rollcall.expected_profile as ' || rollcall.draft_expected_profile();
    comment on view rollcall.expected_profile is
      'The profiles that should exist. WHERE says who must have one; the columns, by name, say what a created row contains; columns that begin with _ are for Rollcall. The one object to edit for your own profiles table.';
  end if;
  revoke all on rollcall.expected_profile from public, anon, authenticated;
  perform rollcall.adopt_profile_table();

  select string_agg(quote_ident(c), ', ') into unfilled from rollcall.unfilled_columns() c;
  if unfilled is not null then
    raise warning 'rollcall: every new profile will fail, since % requires values for: %', rollcall.profile_table(), unfilled
      using hint = 'Give these columns a default, or add them by name to the view rollcall.expected_profile.';
  end if;
end
$$;

-- Blindness --------------------------------------------------------------------------------------------------------

-- Row level security shows a role that may not see everything no rows and no error. A count of such rows would
-- read as good news, so every count asks this first. The views may belong to another role and read other tables:
-- every function that reads them is "set row_security = off", which makes a hidden row an error.
create or replace function rollcall.require_sight() returns void
language plpgsql stable set search_path = '' as $$
declare
  hidden text;
begin
  select string_agg(t::text, ', ') into hidden
  from unnest(array['auth.users'::regclass, 'auth.audit_log_entries'::regclass, rollcall.profile_table()]) t
  where row_security_active(t);
  if hidden is not null then
    raise exception 'rollcall: row level security hides rows of % from the role %', hidden, current_user
      using errcode = 'insufficient_privilege',
        detail = 'What cannot be seen cannot be counted, so there is no verdict.',
        hint = 'The functions of the schema rollcall must belong to a role with BYPASSRLS; on Supabase: run the migrations as postgres.';
  end if;
  if to_regclass('rollcall.expected_profile') is null or to_regclass('rollcall.actual_profile') is null then
    raise exception 'rollcall: the definition of a consistent project is incomplete'
      using errcode = 'undefined_table',
        detail = 'A view of the schema rollcall is missing: expected_profile or actual_profile.',
        hint = 'Run the migrations again (rollcall migrate); a view that exists is kept.';
  end if;
  -- A view follows its table when that is renamed or moved, and another may take its name.
  if rollcall.profile_table() is null or not exists (
    select from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
    where r.ev_class = to_regclass('rollcall.actual_profile')
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = rollcall.profile_table()
  ) then
    raise exception 'rollcall: the profiles that are counted are not those that are made: rollcall.actual_profile does not read %',
        coalesce(rollcall.profile_table()::text, 'public.profiles, which does not exist')
      using errcode = 'undefined_table',
        detail = 'The profile table was renamed, moved or replaced.',
        hint = 'If the table has another name now, name it in rollcall.expected_profile (null::public.members as _profile); then run: select rollcall.adopt_profile_table();';
  end if;
end
$$;
comment on function rollcall.require_sight() is
  'Raises an error with a hint unless the caller sees every row of auth.users, of the audit log and of the profile table, and both views of the definition stand and speak of the same table.';

-- What a rollback gives back --------------------------------------------------------------------------------------

create table if not exists rollcall.displaced (
  object text primary key,
  definition text not null,
  displaced_at timestamptz not null default now()
);
comment on table rollcall.displaced is
  'What the migrations took from the application (functions, triggers, constraints, policies, rights), each with the statements that make it anew; the rollback runs them.';

create or replace function rollcall.grant_sql(p_object text, p_rights aclitem[], p_owner oid, p_column name default null) returns text
language sql stable set search_path = '' as $$
  select string_agg(
    format(
      'grant %s%s on %s to %s%s',
      x.privilege_type,
      ' (' || quote_ident(p_column) || ')',
      p_object,
      case when x.grantee = 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) end,
      case when x.is_grantable then ' with grant option' else '' end
    ),
    '; '
  )
  from aclexplode(p_rights) x
  where x.grantee <> p_owner
$$;
comment on function rollcall.grant_sql(text, aclitem[], oid, name) is
  'SQL text that grants these rights on an object, by its words after "on", or on one of its columns, to everyone but the owner. Null where there is nothing to grant.';

revoke all on all tables in schema rollcall from public, anon, authenticated;
revoke all on all functions in schema rollcall from public, anon, authenticated;
