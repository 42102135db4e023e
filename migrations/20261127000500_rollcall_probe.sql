-- A signup that is tried and rolled back.
-- A made-up user signs up as Supabase Auth lets users sign up, all triggers fire, the profile is looked at, and an exception
-- takes everything back: rows, and the sequences that rows drew numbers from. Nothing is committed, whoever calls it. What
-- could not be taken back (calls over HTTP, to another database, to files) is looked for first, and not begun.

create or replace function rollcall.beyond_rollback(p_scope text default 'signup', p_at_commit boolean default false) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
  with code as materialized (select * from rollcall.signup_code(p_scope))
  select distinct lower(m[2])
  from code
  -- with a bracket behind it; or, in dynamic SQL, anywhere
  cross join lateral regexp_matches(code.source,
    '(?:("?\w+"?)\s*\.\s*)?\m"?(dblink\w*|http(?:_(?:get|post|put|patch|delete|head|request))?|pg_background_launch|lo_(?:ex|im)port'
    '|pg_file_\w+)"?\s*\('
    || case when code.source ~* '\mexecute\M'
      then '|()\m(dblink\w*|http_(?:get|post|put|patch|delete|head)|lo_export|pg_file_write)\M' else '' end, 'gi') x
  cross join lateral (select array[lower(btrim(x[1], '"')), coalesce(x[2], x[4])] as m) y
  -- pg_net and web hooks write into a queue, which is rolled back
  where p_at_commit or (
    coalesce(m[1], '') not in ('net', 'supabase_functions')
    and not (
      m[1] is null and coalesce((
        select bool_and(n.nspname in ('net', 'supabase_functions'))
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.proname = lower(m[2])), false)
    ))
  union
  select format('web hook %I on %s', g.tgname, g.tgrelid::regclass)
  from pg_trigger g join pg_proc p on p.oid = g.tgfoid
  where p_at_commit and p.pronamespace = to_regnamespace('supabase_functions') and g.tgenabled in ('O', 'A') and g.tgtype::integer & 4 = 4
    and (g.tgrelid in (select c.object_id from code c where c.kind = 'table') or (p_scope = 'signup' and g.tgrelid = to_regclass('auth.users')))
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
comment on function rollcall.beyond_rollback(text, boolean) is
  'What a signup (or, profile, an insert into the profile table) seems to do that no rollback takes back: calls over HTTP or to another database, programs, files. Only what triggers run counts. At commit, what pg_net and web hooks queue until then is gone, too.';

-- A sequence that is restarted at the number where it stands gets a file of its own for this transaction, and the rollback
-- brings the old one back untouched. Others wait for it meanwhile, so whoever calls this gives up before a deadlock
-- (deadlock_timeout, 1 s) could end one of theirs.
create or replace function rollcall.keep_sequences() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  sequence record;
  next_value numeric;
begin
  for sequence in
    with code as materialized (select * from rollcall.signup_code('later'))
    select c.oid::regclass as name, q.seqincrement, q.seqmin, q.seqmax, q.seqcycle
    from pg_class c
    join pg_sequence q on q.seqrelid = c.oid
    where c.relnamespace = any ((select rollcall.application_schemas())::oid[]) and pg_has_role(c.relowner, 'usage')
      and (
        exists (select from code where strpos(lower(code.source), lower(c.relname)) > 0)
        or exists (
          select from pg_depend d join code on code.kind = 'table' and code.object_id = d.refobjid
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i'))
      )
    order by c.oid
  loop
    execute format('select q.last_value::numeric + case when q.is_called then %s else 0 end from %s q', sequence.seqincrement, sequence.name) into next_value;
    -- one that is used up has no number to give
    if sequence.seqcycle or next_value between sequence.seqmin and sequence.seqmax then
      execute format('alter sequence %s restart with %s', sequence.name, least(greatest(next_value, sequence.seqmin), sequence.seqmax));
    end if;
  end loop;
end
$$;
comment on function rollcall.keep_sequences() is
  'Makes a rollback take back what a signup or a repair draws from the application''s sequences. Only for what is rolled back: until then others wait for these sequences.';

create or replace function rollcall.sample_users(p_domain text default 'example.invalid', p_keys text[] default null)
returns table (kind text, users_row jsonb)
language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off as $$
  with odd (metadata) as (
    -- every key that the definition or a signup function reads, holding what nobody expects
    select coalesce(jsonb_object_agg(k.key, E'it''s "odd" \\ \u2603 ; -- ' || repeat('x', 300)), '{}')
      || '{"full_name": ["not", {"a": "name"}], "name": 12345.678, "avatar_url": {"deep": [[[[]]]]}, "account_type": "ADMIN",
           "age": "no number", "empty": "", "null": null}'
    from (
      select distinct m[1] as key
      from (
        select s.query as source from rollcall.settings s
        union all
        select c.source from rollcall.signup_code() c where p_keys is null
      ) read
      cross join lateral regexp_matches(read.source, '->>?\s*''(\w+)''', 'g') m
    ) k
  ),
  sample as (
    select k.position, k.kind, k.provider, gen_random_uuid() as id, k.metadata
    from odd
    cross join lateral (
      values
        (1, 'email', 'email', '{"email_verified": false, "phone_verified": false}'::jsonb),
        (2, 'phone', 'phone', '{"email_verified": false, "phone_verified": false}'),
        (3, 'oauth', 'google', '{"iss": "https://accounts.google.com", "full_name": "Rollcall Probe", "name": "Rollcall Probe",
          "avatar_url": "https://example.invalid/a.png", "picture": "https://example.invalid/a.png", "email_verified": true}'),
        (4, 'sso', 'sso:00000000-0000-0000-0000-000000000000', '{"email_verified": false, "phone_verified": false}'),
        (5, 'anonymous', null, '{}'),
        (6, 'web3', 'web3', '{"custom_claims": {"chain": "ethereum", "address": "0x0"}, "email_verified": false}'),
        (7, 'admin_created', 'email', '{}'),
        (8, 'odd_metadata', 'email', odd.metadata)
    ) k (position, kind, provider, metadata)
  )
  select s.kind,
    jsonb_build_object(
      'id', s.id, 'instance_id', '00000000-0000-0000-0000-000000000000', 'aud', 'authenticated', 'role', '',
      'encrypted_password', '', 'confirmation_token', '', 'recovery_token', '', 'email_change', '', 'email_change_token_new', '',
      'email_change_token_current', '', 'email_change_confirm_status', 0, 'phone_change', '', 'phone_change_token', '',
      'reauthentication_token', '', 'created_at', now() - interval '1 second', 'updated_at', now(),
      'is_sso_user', s.kind = 'sso', 'is_anonymous', s.kind = 'anonymous',
      'email', case when s.kind not in ('phone', 'anonymous', 'web3') then 'rc' || left(md5(s.id::text), 10) || '@' || p_domain end,
      'phone', case when s.kind = 'phone' then '999' || lpad((random() * 999999999999)::bigint::text, 12, '0') end,
      'raw_app_meta_data', case when s.provider is null then '{}'
        else jsonb_build_object('provider', s.provider, 'providers', array[s.provider]) end,
      'raw_user_meta_data', case when p_keys is null then s.metadata
        else coalesce((select jsonb_object_agg(k, 'rc' || left(md5(k || s.id), 8)) from unnest(p_keys) k), '{}') end
    )
  from sample s
  where s.kind <> 'anonymous' or rollcall.user_flag('is_anonymous') <> 'false'
  order by s.position
$$;
comment on function rollcall.sample_users(text, text[]) is
  'One made-up user of every kind, as the row that Supabase Auth inserts: email, phone, oauth, sso, anonymous, web3, admin_created, odd_metadata; or with these metadata keys, each value one of its own. Nothing is written.';

create or replace function rollcall.usual_form(p_kind text, p_keys text[], p_as_it_was boolean) returns jsonb
language sql volatile set search_path = pg_catalog, pg_temp set jit = off as $$
  with filled as materialized (
    select case when jsonb_typeof(u.raw_user_meta_data) = 'object' then u.raw_user_meta_data else '{}' end as form
    -- ids are random: as good as the newest, by an index
    from (select x.* from auth.users x order by x.id limit 1000) u
    where case p_kind
      when 'anonymous' then u.email is null and u.phone is null and u.raw_app_meta_data ->> 'provider' is null
      when 'phone' then u.phone is not null and u.email is null
      when 'sso' then u.raw_app_meta_data ->> 'provider' like 'sso%' when 'web3' then u.raw_app_meta_data ->> 'provider' = 'web3'
      when 'oauth' then u.raw_app_meta_data ->> 'provider' !~ '^(email|phone|web3|sso.*)$'
      else coalesce(u.raw_app_meta_data ->> 'provider', 'email') = 'email' end
    order by u.created_at desc nulls last
    limit 20
  )
  select coalesce(jsonb_object_agg(x.key, case
      when x.newest is null or (not p_as_it_was and x.is_of_their_own and x.newest #>> '{}' ~ '[[:alpha:]]')
        then to_jsonb('rc' || left(md5(x.key || random()), 8)) else x.newest end), '{}')
  from (
    select
      k.key, (array_agg(f.form -> k.key) filter (where f.form ? k.key))[1] as newest,
      count(f.form -> k.key) = count(distinct f.form -> k.key) as is_of_their_own
    from unnest(p_keys) k (key)
    left join filled f on true
    where k.key not in ('email', 'sub', 'phone', 'provider')
    group by k.key
  ) x
  -- what nobody filled in is not in the form; where nobody signed up yet, it may be
  where x.newest is not null or (p_as_it_was and p_kind not in ('oauth', 'sso', 'web3') and not exists (select from auth.users))
$$;
comment on function rollcall.usual_form(text, text[], boolean) is
  'What the newest users of a kind had filled in of these keys of their metadata: values that many share, dates and numbers as they were, all others made up (or all as they were).';

create or replace function rollcall.writes() returns table (table_id oid, name text, writes bigint)
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select c.oid, format('%s.%I', c.relnamespace::regnamespace, c.relname),
    pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid)
  from pg_class c
  where c.relkind in ('r', 'p') and c.relnamespace = any ((select rollcall.application_schemas())::oid[])
$$;
comment on function rollcall.writes() is 'How many rows of each of the application''s tables this transaction has written so far.';

create or replace function rollcall.sign_up(p_user jsonb, p_step text) returns text[]
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  user_id constant uuid := p_user ->> 'id';
  provider constant text := p_user #>> '{raw_app_meta_data,provider}';
  writes_before jsonb;
  r record;
begin
  select jsonb_object_agg(w.table_id, w.writes) into writes_before from rollcall.writes() w;
  -- Supabase Auth's order of statements, and its search_path
  perform set_config('search_path', 'auth, pg_temp', true);
  for r in
    select x.target, x.content, string_agg(quote_ident(a.attname), ', ') as columns
    from (values
      (1, 'auth.users', p_user),
      (2, 'auth.identities', jsonb_build_object(
        'id', gen_random_uuid(), 'provider_id', user_id, 'user_id', user_id, 'provider', provider,
        'identity_data', jsonb_build_object('sub', user_id, 'email', p_user ->> 'email'),
        'last_sign_in_at', now(), 'created_at', now(), 'updated_at', now()))
    ) x (i, target, content)
    -- whatever the version of Supabase Auth
    join pg_attribute a on a.attrelid = to_regclass(x.target) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      and x.content ? a.attname::text
    where p_step = 'signup' and (x.i = 1 or provider is not null)
    group by x.i, x.target, x.content
    order by x.i
  loop
    execute format('insert into %1$s (%2$s) select %2$s from pg_catalog.jsonb_populate_record(null::%1$s, $1)', r.target, r.columns)
      using r.content;
    update auth.users u set role = 'authenticated', updated_at = now() where u.id = user_id and u.role = '';
    if not exists (select from auth.users u where u.id = user_id) then
      raise exception 'rollcall: a trigger discarded the user' using errcode = 'RC002';
    end if;
  end loop;
  if p_step = 'confirmation' and p_user ->> 'email' is not null then
    update auth.users u set email_confirmed_at = now() where u.id = user_id;
  elsif p_step = 'confirmation' and p_user ->> 'phone' is not null then
    update auth.users u set phone_confirmed_at = now() where u.id = user_id;
  elsif p_step = 'sign_in' then
    update auth.users u set last_sign_in_at = now(), updated_at = now() where u.id = user_id;
  elsif p_step = 'email_change' then
    update auth.users u set email = 'new' || u.email, email_change = '', updated_at = now() where u.id = user_id and u.email is not null;
  elsif p_step = 'deletion' then
    delete from auth.users u where u.id = user_id;
  end if;
  -- what the commit would do
  set constraints all immediate;
  return array(
    select w.name from rollcall.writes() w where w.writes > coalesce((writes_before ->> w.table_id::text)::bigint, 0) order by 1);
end
$$;
comment on function rollcall.sign_up(jsonb, text) is
  'Does with a made-up user what Supabase Auth does: signup, confirmation, sign_in, email_change, deletion. Returns the application''s tables that were written. Only for callers that keep the sequences and roll it back.';

create or replace function rollcall.probe_signup()
returns table (
  kind text, outcome text, code text, constraint_name text, column_name text, wrong_columns text[], tables_written text[],
  failed_functions text[], is_in_use boolean, step text, later jsonb, side_tables jsonb
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set jit = off set row_security = off set lock_timeout = '500ms' as $$
declare
  s constant rollcall.settings := rollcall.require_definition();
  keys constant text[] := array(
    select distinct m[1] from rollcall.signup_code() c cross join lateral regexp_matches(c.source, '->>?\s*''(\w+)''', 'g') m);
  is_beyond_rollback constant boolean := exists (select from rollcall.beyond_rollback());
  at_domain text;
  stopped_by text := case when not has_table_privilege('auth.users', 'insert') then '42501' end;
  template text;
  person jsonb;
  person_id uuid;
  is_as_it_was boolean;
  is_signed_up boolean;
  is_expected boolean;
  has_profile boolean;
  context text;
  place record;
  is_there boolean;
  later_steps text[] := case when exists (select from rollcall.beyond_rollback('later')) then '{}' else '{sign_in,email_change}' end;
  -- what the definition gives anew at every look (a random name) cannot be compared
  differences constant text := (
    select string_agg(
      format(
        case when c.column_name = 'email'
          then 'case when lower(t.%1$I::text) is distinct from lower(e.%1$I::text) then %1$L end'
          else 'case when to_jsonb(t.%1$I) is distinct from to_jsonb(e.%1$I::%2$s) and e.%1$I::text is not distinct from a.%1$I::text
            then %1$L end'
        end, c.column_name, format_type(a.atttypid, a.atttypmod)), ', ')
    from rollcall.profile_columns() c
    join pg_attribute a on a.attrelid = to_regclass(s.target_table) and a.attname = c.column_name
    join pg_type y on y.oid = rollcall.base_type(a.atttypid) and y.typcategory <> 'D');
begin
  -- sequences are kept meanwhile, so nothing may read a large table from one end to the other
  if later_steps <> '{}' and not exists (
    select from pg_constraint k join pg_class c on c.oid = k.conrelid
    where k.contype = 'f' and k.confrelid in (to_regclass('auth.users'), to_regclass(s.target_table)) and c.reltuples > 20000
      and not exists (select from pg_index i where i.indrelid = k.conrelid and i.indkey[0] = k.conkey[1])) then
    later_steps := later_steps || 'deletion'::text;
  end if;
  for kind, template in select u.kind, u.users_row from rollcall.sample_users() u loop
    select '{}', '{}', '{}', '{}', 'example.invalid', false into tables_written, failed_functions, later, side_tables, at_domain, is_as_it_was;
    select stopped_by, null, null, null, null, null into code, constraint_name, column_name, wrong_columns, is_in_use, step;
    -- a lock or a limit that stopped one kind stops the next, too, and whoever signs up meanwhile may wait for a sequence
    if is_beyond_rollback or stopped_by is not null then
      outcome := case when stopped_by is null then 'refused' else 'unknown' end;
      return next;
      continue;
    end if;
    loop
      person := replace(template, '@example.invalid"', '@' || at_domain || '"');
      person_id := person ->> 'id';
      if kind <> 'odd_metadata' then
        person := jsonb_set(person, '{raw_user_meta_data}', (person -> 'raw_user_meta_data') || rollcall.usual_form(kind, keys, is_as_it_was));
      end if;
      is_signed_up := false;
      begin
        perform rollcall.keep_sequences();
        step := 'signup';
        tables_written := rollcall.sign_up(person, step);
        step := 'confirmation';
        tables_written := array(select distinct t from unnest(tables_written || rollcall.sign_up(person, step)) t order by t);
        is_signed_up := true;
        execute 'select exists (select from (' || s.query || ') e where e._user_id = $1)' into is_expected using person_id;
        execute format('select exists (select from %s t where %s)', s.target_table, rollcall.key_match(s, '$1'))
          into has_profile using person_id;
        if has_profile and is_expected then
          execute 'select array_remove(array[' || differences || ']::text[], null) from (' || s.query || ') e join (' || s.query
            || ') a on a._user_id = e._user_id join ' || s.target_table || ' t on ' || rollcall.key_match(s, 'e._user_id')
            || ' where e._user_id = $1'
            into wrong_columns using person_id;
        elsif is_expected then
          -- Rollcall's trigger lets the signup through, and logs why
          select v.payload ->> 'sqlstate', v.payload ->> 'constraint', v.payload ->> 'column', array(select jsonb_array_elements_text(v.payload -> 'functions'))
          into code, constraint_name, column_name, failed_functions
          from rollcall.event v where v.user_id = person_id and v.kind = 'profile_bootstrap_error' order by v.id desc limit 1;
        end if;
        outcome := case
          when not is_expected then 'not_expected'
          when not has_profile then case when rollcall.error_kind(code) = 'lock' then 'unknown' else 'no_profile' end
          -- a draft may be wrong about a column
          when wrong_columns <> '{}' and not s.is_draft then 'wrong_profile'
          else 'right_profile'
        end;
        -- the other tables that have a row of theirs
        for place in
          select w as name, quote_ident(a.attname) as key, rollcall.base_type(a.atttypid)::regtype as type
          from unnest(tables_written) w
          join pg_attribute a on a.attrelid = to_regclass(w) and a.attnum > 0 and not a.attisdropped
            and rollcall.base_type(a.atttypid) in ('uuid'::regtype, 'text'::regtype)
          join pg_class c on c.oid = a.attrelid and not c.relispartition and (
            c.reltuples <= 20000 or exists (select from pg_index i where i.indrelid = c.oid and i.indkey[0] = a.attnum))
          where c.oid <> to_regclass(s.target_table)
          order by w, (select count(*) from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'f' and k.conkey[1] = a.attnum) desc, a.attnum
        loop
          if not side_tables ? place.name then
            execute format('select exists (select from %s t where t.%s = $1::text::%s)', place.name, place.key, place.type) into is_there using person_id;
            if is_there then
              side_tables := side_tables || jsonb_build_object(place.name, place.key);
            end if;
          end if;
        end loop;
        foreach step in array later_steps loop
          begin
            perform rollcall.sign_up(person, step);
          exception when others or query_canceled or assert_failure then
            get stacked diagnostics context = pg_exception_context;
            later := later || jsonb_build_object(step, jsonb_build_object('sqlstate', sqlstate, 'functions', rollcall.known_functions(context)));
            -- a limit of time is over once
            exit when sqlstate = '57014';
          end;
        end loop;
        raise exception using errcode = 'RC001', message = 'rollcall: trial over';
      exception
        when sqlstate 'RC001' then null;
        -- "others" leaves out a cancelled query and a failed assertion; a trigger may meet either
        when others or query_canceled or assert_failure then
          get stacked diagnostics code = returned_sqlstate, constraint_name = constraint_name, column_name = column_name,
            context = pg_exception_context;
          constraint_name := rollcall.known_name(constraint_name);
          column_name := rollcall.known_name(column_name);
          failed_functions := rollcall.known_functions(context);
          tables_written := '{}';
          wrong_columns := null;
          outcome := case
            when is_signed_up or rollcall.error_kind(code) <> 'row' or code in ('57014', '25006') then 'unknown'
            when code = 'RC002' then 'refused_by_rule'
            -- raised on purpose, and not by a handler that words a failure anew
            when substring(context from '^[^\n]*') ~ ' at RAISE$' and not exists (
              select from pg_proc p
              where format('%I.%I', p.pronamespace::regnamespace, p.proname) = failed_functions[1]
                and array_to_string((string_to_array(p.prosrc, E'\n'))[:substring(context from 'line (\d+) at RAISE')::integer], ' ')
                  ~* '\mexception\s+when\M'
            ) then 'refused_by_rule'
            else 'blocked'
          end;
      end;
      -- a handler that hides an error leaves no code
      if (outcome = 'no_profile' or outcome = 'blocked' and code ~ '^2[23]') and not is_as_it_was and kind <> 'odd_metadata' and rollcall.usual_form(kind, keys, true) <> '{}' then
        is_as_it_was := true;
      elsif outcome = 'refused_by_rule' and at_domain = 'example.invalid' and person ->> 'email' is not null then
        -- an address at a domain from which somebody could sign up before
        at_domain := (
          select split_part(u.email, '@', 2) from auth.users u
          where u.email_confirmed_at is not null and u.email like '%@%' order by u.created_at desc nulls last limit 1);
        exit when at_domain is null;
      else
        exit;
      end if;
      code := null;
    end loop;
    if is_as_it_was and code = '23505' then
      -- somebody has this value already, and everything else was right
      outcome := 'unknown';
    end if;
    if outcome in ('blocked', 'no_profile', 'wrong_profile') or (outcome = 'unknown' and kind = 'odd_metadata' and rollcall.error_kind(code) = 'row') then
      is_in_use := kind in ('email', 'admin_created') or exists (
        select from auth.users u
        where case kind
            when 'oauth' then u.raw_app_meta_data ->> 'provider' !~ '^(email|phone|web3|sso.*)$'
            when 'phone' then u.phone is not null and u.email is null
            when 'anonymous' then (to_jsonb(u) ->> 'is_anonymous')::boolean when 'sso' then (to_jsonb(u) ->> 'is_sso_user')::boolean
            when 'web3' then u.raw_app_meta_data ->> 'provider' = 'web3' end);
    end if;
    stopped_by := case when outcome = 'unknown' and code in ('55P03', '57014') then code end;
    return next;
  end loop;
end
$$;
comment on function rollcall.probe_signup() is
  'Tries the signup of one made-up user of every kind, and what comes after it, and rolls it back: right_profile, wrong_profile (with the columns that differ from the definition), no_profile, blocked (with SQLSTATE, constraint, column and functions), refused_by_rule (a trigger refused it on purpose), not_expected, unknown (a lock, a right), refused (a signup does what cannot be rolled back: rollcall.beyond_rollback()). step: where it was blocked, in the signup or the confirmation; later: the sign-in, change of address and deletion that failed; side_tables: other tables with a row of the user, and the column with their id. Runs as its owner, so it does not see rights that only supabase_auth_admin lacks.';
