-- A signup that is tried and rolled back.
--
-- A made-up user signs up as Supabase Auth lets users sign up, all triggers fire, the profile is looked at, and an exception
-- takes everything back: rows, and the sequences that rows drew numbers from. Nothing is committed, whoever calls it. What
-- could not be taken back (calls over HTTP, to another database, to files) is looked for first, and not begun.
--
-- Runs as the role `postgres` of hosted Supabase. Safe to run twice.

create or replace function rollcall.beyond_rollback() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with code as materialized (select * from rollcall.signup_code())
  select distinct lower(m[2])
  from code
  -- with a bracket behind it; or, in dynamic SQL, anywhere
  cross join lateral regexp_matches(code.source,
    '(?:("?\w+"?)\s*\.\s*)?\m"?(dblink\w*|https?_(?:get|post|put|patch|delete|head|request)|http|pg_background_launch|lo_export|lo_import|pg_file_\w+)"?\s*\('
    || case when code.source ~* '\mexecute\M' then '|()\m(dblink\w*|http_(?:get|post|put|patch|delete|head)|lo_export|pg_file_write)\M' else '' end, 'gi') x
  cross join lateral (select array[lower(btrim(x[1], '"')), coalesce(x[2], x[4])] as m) y
  -- pg_net and web hooks write into a queue, which is rolled back
  where coalesce(m[1], '') not in ('net', 'supabase_functions')
    and not (
      m[1] is null
      and exists (select from pg_proc p where p.proname = lower(m[2]) and p.pronamespace in (to_regnamespace('net'), to_regnamespace('supabase_functions')))
      and not exists (
        select from pg_proc p
        where p.proname = lower(m[2]) and p.pronamespace not in (to_regnamespace('net'), to_regnamespace('supabase_functions')))
    )
  union
  select 'copy … program' from code where code.source ~* '\mcopy\M[^;]*\mprogram\M'
  union
  select 'a function in ' || l.lanname
  from code join pg_proc p on p.oid = code.object_id join pg_language l on l.oid = p.prolang
  where code.kind = 'function' and not l.lanpltrusted and l.lanname not in ('internal', 'c', 'sql')
  union
  select 'foreign table ' || c.oid::regclass
  from code join pg_class c on c.oid = code.object_id
  where code.kind = 'table' and c.relkind = 'f'
$$;
comment on function rollcall.beyond_rollback() is
  'What a signup seems to do that no rollback takes back: calls over HTTP or to another database, programs, files. Only what triggers of a signup run counts; pg_net and NOTIFY are rolled back.';

create or replace function rollcall.sample_users(p_domain text default 'example.invalid') returns table (kind text, users_row jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
    with odd (metadata) as (
      -- every key that the definition or a signup function reads, holding what nobody expects
      select coalesce(jsonb_object_agg(k.key, E'it''s "odd" \\ \u2603 ; -- ' || repeat('x', 300)), '{}')
        || '{"full_name": ["not", {"a": "name"}], "name": 12345.678, "avatar_url": {"deep": [[[[]]]]}, "account_type": "ADMIN", "age": "no number", "empty": "", "null": null}'
      from (
        select distinct m[1] as key
        from (select s.query as source from rollcall.settings s union all select c.source from rollcall.signup_code() c) read
        cross join lateral regexp_matches(read.source, '->>?\s*''(\w+)''', 'g') m
      ) k
    )
    select
      s.kind,
      jsonb_build_object(
        'id', s.id, 'instance_id', '00000000-0000-0000-0000-000000000000', 'aud', 'authenticated', 'role', '',
        'encrypted_password', '', 'confirmation_token', '', 'recovery_token', '', 'email_change', '', 'email_change_token_new', '',
        'email_change_token_current', '', 'email_change_confirm_status', 0, 'phone_change', '', 'phone_change_token', '',
        'reauthentication_token', '', 'created_at', now() - interval '1 second', 'updated_at', now(),
        'is_sso_user', s.kind = 'sso', 'is_anonymous', s.kind = 'anonymous',
        'email', case when s.kind not in ('phone', 'anonymous', 'web3') then 'rc' || left(md5(s.id::text), 10) || '@' || p_domain end,
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
    ) s
    where s.kind <> 'anonymous' or exists (
      select from pg_attribute a where a.attrelid = to_regclass('auth.users') and a.attname = 'is_anonymous' and not a.attisdropped);
end
$$;
comment on function rollcall.sample_users(text) is
  'One made-up user of every kind, as the row that Supabase Auth inserts: email, phone, oauth, sso, anonymous, web3, admin_created, odd_metadata. Nothing is written.';

create or replace function rollcall.probe_kinds() returns setof text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select s.kind from rollcall.sample_users() s
$$;
comment on function rollcall.probe_kinds() is
  'The kinds of users that rollcall.probe_signup() can try.';

create or replace function rollcall.failed_functions(p_context text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(f.name order by f.position), '{}')
  from (
    select format('%I.%I', n.nspname, p.proname) as name, min(m.position) as position
    from regexp_matches(p_context, '(?:PL/pgSQL|SQL) function ([^\n(]+?)(?:\(| statement)', 'g') with ordinality m (found, position)
    join pg_proc p on quote_ident(p.proname) = m.found[1] or '"' || p.proname || '"' = m.found[1] or p.proname = split_part(m.found[1], '.', 2)
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not in ('rollcall', 'pg_catalog') and (strpos(m.found[1], '.') = 0 or m.found[1] = format('%I.%I', n.nspname, p.proname))
    group by 1
  ) f
$$;
comment on function rollcall.failed_functions(text) is
  'The functions that the context of an error names, innermost first: those only that the catalog knows.';

create or replace function rollcall.keep_sequences() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  sequence record;
  next_value bigint;
begin
  -- A sequence that is restarted at the number where it stands gets a file of its own for this transaction; the rollback
  -- brings the old one back untouched.
  for sequence in
    with code as materialized (select * from rollcall.signup_code())
    select c.oid::regclass as name, q.seqincrement, q.seqmin, q.seqmax
    from pg_class c
    join pg_sequence q on q.seqrelid = c.oid
    where c.relnamespace = any (rollcall.application_schemas()) and pg_has_role(c.relowner, 'usage')
      and exists (
        select from code
        where strpos(code.source, c.relname) > 0
          or (code.kind = 'table' and exists (
            select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refobjid = code.object_id and d.deptype in ('a', 'i')))
        union all
        select from pg_depend d, rollcall.settings s
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refobjid = to_regclass(s.target_table) and d.deptype in ('a', 'i')
      )
    order by c.oid
  loop
    execute format('select least(greatest(q.last_value + case when q.is_called then %s else 0 end, %s), %s) from %s q',
      sequence.seqincrement, sequence.seqmin, sequence.seqmax, sequence.name) into next_value;
    execute format('alter sequence %s restart with %s', sequence.name, next_value);
  end loop;
end
$$;
comment on function rollcall.keep_sequences() is
  'Lets the rollback of this transaction, or subtransaction, take back what the application''s sequences of a signup advance from here on. Others who draw numbers wait until then.';

-- In Supabase Auth's order of statements, and with its search_path.
create or replace function rollcall.sign_up(p_user jsonb, p_confirm boolean) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  user_id constant uuid := p_user ->> 'id';
  person_identity jsonb;
begin
  perform rollcall.refuse_temporary_objects();
  perform rollcall.keep_sequences();
  perform set_config('search_path', 'auth, pg_temp', true);
  execute (
    select format('insert into auth.users (%1$s) select %1$s from pg_catalog.jsonb_populate_record(null::auth.users, $1)', string_agg(quote_ident(a.attname), ', '))
    from pg_attribute a
    where a.attrelid = 'auth.users'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and p_user ? a.attname::text
  ) using p_user;
  if not exists (select from auth.users u where u.id = user_id) then
    raise exception 'rollcall: a trigger discarded the user' using errcode = 'RC002';
  end if;
  update auth.users u set role = 'authenticated', updated_at = now() where u.id = user_id;
  if p_user #>> '{raw_app_meta_data,provider}' is not null and to_regclass('auth.identities') is not null then
    person_identity := jsonb_build_object(
      'id', gen_random_uuid(), 'provider_id', user_id, 'user_id', user_id, 'provider', p_user #>> '{raw_app_meta_data,provider}',
      'identity_data', jsonb_build_object('sub', user_id, 'email', p_user ->> 'email'),
      'last_sign_in_at', now(), 'created_at', now(), 'updated_at', now());
    execute (
      select format('insert into auth.identities (%1$s) select %1$s from pg_catalog.jsonb_populate_record(null::auth.identities, $1)', string_agg(quote_ident(a.attname), ', '))
      from pg_attribute a
      where a.attrelid = 'auth.identities'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and person_identity ? a.attname::text
    ) using person_identity;
  end if;
  if p_confirm and p_user ->> 'email' is not null then
    update auth.users u set email_confirmed_at = now() where u.id = user_id;
  elsif p_confirm and p_user ->> 'phone' is not null then
    update auth.users u set phone_confirmed_at = now() where u.id = user_id;
  end if;
  -- what the commit would do
  set constraints all immediate;
end
$$;
comment on function rollcall.sign_up(jsonb, boolean) is
  'Signs a made-up user up, and confirms their address. Only for callers that roll it back: rollcall.probe_signup(), rollcall.signup_example().';

create or replace function rollcall.probe_signup(p_kind text)
returns table (
  kind text, outcome text, code text, constraint_name text, column_name text, wrong_columns text[], tables_written text[], failed_functions text[]
)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off set lock_timeout = '1s' as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  at_domain text := 'example.invalid';
  person jsonb;
  written_before jsonb;
  is_expected boolean;
  has_profile boolean;
  differences text;
  failed jsonb;
  context text;
begin
  kind := p_kind;
  if not exists (select from rollcall.sample_users() x where x.kind = p_kind) then
    raise exception 'rollcall: there is no such kind of user' using errcode = 'invalid_parameter_value', hint = 'select rollcall.probe_kinds()';
  end if;
  tables_written := '{}';
  failed_functions := '{}';
  if not has_table_privilege('auth.users', 'insert') then
    outcome := 'unknown';
    code := '42501';
    return next;
    return;
  elsif exists (select from rollcall.beyond_rollback()) then
    outcome := 'refused';
    return next;
    return;
  end if;
  select string_agg(
    format(
      case when c.column_name = 'email'
        then 'case when lower(t.%1$I::text) is distinct from lower(e.%1$I::text) then %1$L end'
        -- what the definition gives anew at every look (a random name) cannot be compared
        else 'case when to_jsonb(t.%1$I) is distinct from to_jsonb(e.%1$I::%2$s) and e.%1$I::text is not distinct from a.%1$I::text then %1$L end'
      end, c.column_name, format_type(a.atttypid, a.atttypmod)
    ), ', ')
    into differences
  from rollcall.profile_columns() c
  join pg_attribute a on a.attrelid = to_regclass(s.target_table) and a.attname = c.column_name
  join pg_type y on y.oid = a.atttypid
  where y.typcategory <> 'D';

  loop
    select x.users_row into person from rollcall.sample_users(at_domain) x where x.kind = p_kind;
    begin
      select jsonb_object_agg(w.relid, w.n_tup_ins + w.n_tup_upd + w.n_tup_del) into written_before from pg_stat_xact_user_tables w;
      perform rollcall.sign_up(person, true);
      tables_written := array(
        select format('%I.%I', w.schemaname, w.relname)
        from pg_stat_xact_user_tables w
        where w.n_tup_ins + w.n_tup_upd + w.n_tup_del > coalesce((written_before ->> w.relid::text)::bigint, 0)
          and w.schemaname::regnamespace = any (rollcall.application_schemas())
        order by 1);
      execute 'select exists (select from (' || s.query || ') e where e._user_id = $1)' into is_expected using (person ->> 'id')::uuid;
      execute format('select exists (select from %s t where %s)', s.target_table, rollcall.key_match(s, '$1')) into has_profile
        using (person ->> 'id')::uuid;
      if has_profile and is_expected then
        execute 'select array_remove(array[' || differences || '], null) from (' || s.query || ') e join (' || s.query
          || ') a on a._user_id = e._user_id join ' || s.target_table || ' t on ' || rollcall.key_match(s, 'e._user_id') || ' where e._user_id = $1'
          into wrong_columns using (person ->> 'id')::uuid;
      elsif is_expected then
        -- Rollcall's trigger lets the signup through, and logs why
        select v.payload into failed
        from rollcall.event v
        where v.user_id = (person ->> 'id')::uuid and v.kind = 'profile_bootstrap_error'
        order by v.id desc limit 1;
        code := failed ->> 'sqlstate';
        constraint_name := failed ->> 'constraint';
        column_name := failed ->> 'column';
        failed_functions := array(select jsonb_array_elements_text(case when jsonb_typeof(failed -> 'functions') = 'array' then failed -> 'functions' else '[]' end));
      end if;
      outcome := case
        when not is_expected then 'not_expected'
        when not has_profile then case when left(code, 2) = '40' or code = '55P03' then 'unknown' else 'no_profile' end
        when wrong_columns <> '{}' then 'wrong_profile'
        else 'right_profile'
      end;
      raise exception using errcode = 'RC001', message = 'rollcall: trial over';
    exception
      when sqlstate 'RC001' then
        null;
      -- "others" leaves out a cancelled query and a failed assertion; a trigger may meet either
      when others or query_canceled or assert_failure then
        get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name, context = pg_exception_context;
        wrong_columns := null;
        tables_written := '{}';
        failed_functions := rollcall.failed_functions(context);
        outcome := case
          when left(code, 2) in ('08', '40', '53', '58') or code in ('55P03', '57014', '57P01', '25006') then 'unknown'
          when code = 'RC002' then 'refused_by_rule'
          -- raised on purpose, and not by a handler that words a failure anew
          when code = 'P0001' and not exists (
            select from pg_proc p
            where format('%I.%I', p.pronamespace::regnamespace, p.proname) = failed_functions[1]
              and array_to_string((string_to_array(p.prosrc, E'\n'))[:substring(context from 'line (\d+) at RAISE')::integer], ' ') ~* '\mexception\s+when\M'
          ) then 'refused_by_rule'
          else 'blocked'
        end;
    end;
    exit when outcome <> 'refused_by_rule' or at_domain <> 'example.invalid' or person ->> 'email' is null;
    -- an address at a domain from which somebody could sign up before
    select split_part(u.email, '@', 2) into at_domain
    from auth.users u where u.email_confirmed_at is not null and u.email like '%@%' order by u.created_at desc nulls last limit 1;
    exit when at_domain is null;
    code := null;
  end loop;
  constraint_name := (
    select k.conname from pg_constraint k where k.conname = constraint_name
    union select i.relname from pg_class i where i.relname = constraint_name and i.relkind = 'i' limit 1);
  column_name := (select a.attname from pg_attribute a where a.attname = column_name and a.attnum > 0 limit 1);
  return next;
end
$$;
comment on function rollcall.probe_signup(text) is
  'Tries the signup of one made-up user of a kind and rolls it back: right_profile, wrong_profile (with the columns that differ from the definition), no_profile, blocked (with SQLSTATE, constraint, column and functions), refused_by_rule (a trigger refused it on purpose), not_expected, unknown (a lock, a right), refused (a signup does what cannot be rolled back: rollcall.beyond_rollback()). Runs as its owner, so it does not see rights that only supabase_auth_admin lacks.';

create or replace function rollcall.signup_example(p_table regclass default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set row_security = off set lock_timeout = '1s' as $$
declare
  keys text[];
  code_keys constant text[] := array(
    select distinct m[1] from rollcall.signup_code() c cross join lateral regexp_matches(c.source, '->>\s*''(\w+)''', 'g') m);
  at_domain text := 'example.invalid';
  person jsonb;
  who record;
  passed jsonb := '{}';
  written_before jsonb;
  written regclass[];
  found record;
  is_found boolean;
  found_tables jsonb;
  chosen record;
  s rollcall.settings;
  evidence jsonb;
  used text[];
  left_out text[] := '{}';
  example jsonb;
begin
  if not has_table_privilege('auth.users', 'insert') or exists (select from rollcall.beyond_rollback()) then
    return null;
  end if;
  -- each with a value of its own, so that a value tells where it came from
  keys := array(
    select k from (
      select unnest(code_keys) as k
      union
      select unnest('{full_name,name,display_name,username,user_name,preferred_username,first_name,last_name,avatar_url,picture}'::text[])
    ) x where not rollcall.is_privilege(k) limit 40);

  begin
    select jsonb_object_agg(w.relid, w.n_tup_ins + w.n_tup_upd + w.n_tup_del) into written_before from pg_stat_xact_user_tables w;
    for who in
      select x.name, x.kind, x.metadata_keys
      from (
        select 1 as position, 'plain' as name, 'email' as kind, '{}'::text[] as metadata_keys
        union all select 2, 'plain again', 'email', '{}'
        union all select 3, 'full', 'email', keys
        union all select 4, 'phone', 'phone', '{}'
        union all select 5, 'phone again', 'phone', '{}'
        union all select 6, 'anonymous', 'anonymous', '{}'
        -- tried where a value of one key spoils it for all
        union all select 7, 'key ' || k, 'email', array[k] from unnest(code_keys) k where not rollcall.is_privilege(k)
      ) x order by x.position
    loop
      continue when who.name like 'key %' and passed ? 'full';
      for attempt in 1..2 loop
        select u.users_row || jsonb_build_object('raw_user_meta_data', coalesce((
            select jsonb_object_agg(k, 'rc' || left(md5(k || (u.users_row ->> 'id')), 8)) from unnest(who.metadata_keys) k), '{}'))
          into person
        from rollcall.sample_users(at_domain) u where u.kind = who.kind;
        exit when person is null;
        begin
          perform rollcall.sign_up(person, false);
          passed := passed || jsonb_build_object(who.name, person -> 'id');
          exit;
        exception when raise_exception or sqlstate 'RC002' then
          exit when who.name <> 'plain' or attempt = 2;
          select coalesce(max(d.domain), at_domain) into at_domain from (
            select split_part(u.email, '@', 2) as domain
            from auth.users u where u.email_confirmed_at is not null and u.email like '%@%' order by u.created_at desc nulls last limit 1) d;
        when others then
          exit;
        end;
      end loop;
      exit when not passed ? 'plain';
    end loop;

    -- the tables with a row of theirs: after the signup, else after the confirmation
    for step in 1..2 loop
      written := array(
        select w.relid::regclass from pg_stat_xact_user_tables w
        where w.n_tup_ins + w.n_tup_upd + w.n_tup_del > coalesce((written_before ->> w.relid::text)::bigint, 0)
          and w.schemaname::regnamespace = any (rollcall.application_schemas()));
      found_tables := '[]';
      for found in select t as id, k.column_name, k.is_uuid from unnest(written) t cross join lateral rollcall.key_candidates(t) k loop
        s.key_column := found.column_name;
        s.key_is_uuid := found.is_uuid;
        execute format('select exists (select from %s t where %s)', found.id, rollcall.key_match(s, '$1')) into is_found using (passed ->> 'plain')::uuid;
        if is_found then
          found_tables := found_tables || jsonb_build_object('id', found.id::oid, 'key', found.column_name, 'is_uuid', found.is_uuid);
        end if;
      end loop;
      exit when found_tables <> '[]' or not passed ? 'plain' or step = 2;
      left_out := array['unconfirmed'];
      update auth.users u set email_confirmed_at = now() where u.email is not null and u.id::text in (select p.value from jsonb_each_text(passed) p);
      update auth.users u set phone_confirmed_at = now() where u.phone is not null and u.id::text in (select p.value from jsonb_each_text(passed) p);
      set constraints all immediate;
    end loop;

    select x.* into chosen
    from (
      select
        f.id::regclass as id, format('%I.%I', n.nspname, t.relname) as name, f.key, f.is_uuid,
        coalesce(c.stands_out, false) as stands_out, coalesce(c.rank, 10) as rank, t.relname ~* 'profile' as named_profile,
        count(*) over (partition by coalesce(c.rank, 10), t.relname ~* 'profile') as equals
      from jsonb_to_recordset(found_tables) f (id oid, key name, is_uuid boolean)
      join pg_class t on t.oid = f.id
      join pg_namespace n on n.oid = t.relnamespace
      left join rollcall.candidate_tables() c on to_regclass(c.table_name) = f.id
      where p_table is null or f.id = p_table
    ) x
    order by x.stands_out desc, x.rank, x.named_profile desc
    limit 1;
    if chosen.id is not null and (chosen.stands_out or chosen.equals = 1 or p_table is not null) then
      -- what is used when the keys that were found are not there
      for level in 1..3 loop
        evidence := rollcall.draft_evidence(chosen.id, chosen.key, chosen.is_uuid, array(select p.value::uuid from jsonb_each_text(passed) p));
        used := array(
          select distinct m[1] from jsonb_each(evidence -> 'sources') x cross join lateral regexp_matches(x.value::text, '->> ''(\w+)''', 'g') m);
        exit when level = 3 or used = '{}' or not passed ? 'full';
        select u.users_row || jsonb_build_object('raw_user_meta_data', coalesce((
            select jsonb_object_agg(k, 'rc' || left(md5(k || (u.users_row ->> 'id')), 8)) from unnest(keys) k where k <> all (used)), '{}'))
          into person
        from rollcall.sample_users(at_domain) u where u.kind = 'email';
        begin
          perform rollcall.sign_up(person, left_out <> '{}');
          passed := passed || jsonb_build_object('without ' || level, person -> 'id');
        exception when others then
          exit;
        end;
      end loop;
      for who in select k.name from unnest(array['phone', 'anonymous']) k (name) where passed ? k.name loop
        s.key_column := chosen.key;
        s.key_is_uuid := chosen.is_uuid;
        execute format('select exists (select from %s t where %s)', chosen.name, rollcall.key_match(s, '$1')) into is_found using (passed ->> who.name)::uuid;
        if not is_found and not (left_out = array['unconfirmed'] and who.name = 'anonymous') then
          left_out := left_out || who.name;
        end if;
      end loop;
      if left_out @> array['phone', 'anonymous'] then
        left_out := left_out || 'other'::text;
      end if;
      example := jsonb_build_object(
        'table', chosen.name, 'key', chosen.key, 'sources', evidence -> 'sources', 'rest', evidence -> 'rest', 'left_out', left_out,
        'is_complete', passed ? 'full', 'has_borrowed_domain', at_domain <> 'example.invalid',
        'also_writes', array(select t::text from unnest(written) t where t <> chosen.id order by 1));
    end if;
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception
    when sqlstate 'RC001' then
      null;
    when others then
      example := null;
  end;
  return example;
end
$$;
comment on function rollcall.signup_example(regclass) is
  'Signs up made-up users of several kinds, each value one of its own, and rolls that back: the table that got their rows (or this one), where its columns came from, which kinds got none, and which other tables were written. For rollcall.draft_definition(); null: nothing could be tried or learnt.';

-- The program says in its transaction that it only looks; everything else is an install.
do $$
begin
  if current_setting('rollcall.stance', true) is distinct from 'look' then
    perform rollcall.adopt_draft(rollcall.signup_example());
  end if;
end
$$;
