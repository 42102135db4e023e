-- Made in a transaction that is rolled back, or dropped when it was asked: it learns, and is not needed afterwards.
create function rollcall.signup_example(p_table regclass default null) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp set jit = off set row_security = off set lock_timeout = '500ms' as $$
declare
  code_keys constant text[] := array(
    select distinct m[1] from rollcall.signup_code() c cross join lateral regexp_matches(c.source, '->>\s*''(\w+)''', 'g') m
    where not rollcall.is_privilege(m[1]) limit 40);
  keys text[] := code_keys || '{full_name,name,display_name,username,user_name,preferred_username,first_name,last_name,avatar_url,picture}';
  at_domain text := 'example.invalid';
  who record;
  person jsonb;
  is_confirmed boolean;
  passed jsonb;
  written text[];
  place record;
  target record;
  s rollcall.settings;
  is_there boolean;
  evidence jsonb;
  left_out text[] := '{}';
  example jsonb;
begin
  if not has_table_privilege('auth.users', 'insert') or exists (select from rollcall.beyond_rollback()) then
    return null;
  end if;
  begin
    perform rollcall.keep_sequences();
    -- after the signup; and where that makes no row, after the confirmation
    foreach is_confirmed in array array[false, true] loop
      passed := '{}';
      written := '{}';
      for who in
        select x.i, x.name, x.kind, x.keys
        from (
          values (1, 'plain', 'email', '{}'::text[]), (2, 'plain', 'email', '{}'), (3, 'plain again', 'email', '{}'),
            (4, 'full', 'email', keys), (5, 'full again', 'email', keys),
            (6, 'phone', 'phone', '{}'), (7, 'phone again', 'phone', '{}'), (8, 'anonymous', 'anonymous', '{}')
          union all
          -- where the value of one key spoils it for all
          select 9, 'key ' || k, 'email', array[k] from unnest(code_keys) k
        ) x (i, name, kind, keys)
        order by x.i
      loop
        continue when passed ? who.name or (who.i = 9 and passed ? 'full');
        if who.i = 2 then
          -- a rule may let only some domains in
          at_domain := coalesce((
            select split_part(u.email, '@', 2) from auth.users u
            where u.email_confirmed_at is not null and u.email like '%@%' order by u.created_at desc nulls last limit 1), at_domain);
        end if;
        select u.users_row into person from rollcall.sample_users(at_domain, who.keys) u where u.kind = who.kind;
        continue when person is null;
        begin
          written := written || rollcall.sign_up(person, 'signup');
          if is_confirmed then
            written := written || rollcall.sign_up(person, 'confirmation');
          end if;
          passed := passed || jsonb_build_object(who.name, person -> 'id');
        exception when others or assert_failure then
          -- in a locked table, or where a signup takes long, nothing more is tried
          if sqlstate = '55P03' or clock_timestamp() > statement_timestamp() + interval '5 seconds' then
            raise;
          end if;
        end;
      end loop;

      -- the table that has a row of theirs; of several the best candidate
      for place in
        select distinct
          to_regclass(w) as id, k.column_name as key, k.is_uuid,
          coalesce(case when c.stands_out then 0 end, c.rank, 10) * 2 + (w !~* 'profile')::integer as rank
        from unnest(written) w
        cross join lateral rollcall.key_candidates(to_regclass(w)) k
        left join rollcall.candidate_tables() c on to_regclass(c.table_name) = to_regclass(w)
        where p_table is null or to_regclass(w) = p_table
        order by 4, 2
      loop
        s.key_column := place.key;
        s.key_is_uuid := place.is_uuid;
        execute format('select exists (select from %s t where %s)', place.id, rollcall.key_match(s, '$1')) into is_there
          -- where a signup needs a value in the form, the plain one was refused
          using coalesce(passed ->> 'plain', passed ->> 'full', (select min(p.value) from jsonb_each_text(passed) p where p.key like 'key %'))::uuid;
        continue when not is_there;
        if target is null then
          target := place;
        elsif target.rank = place.rank and target.id <> place.id then
          raise exception using errcode = 'RC001', message = 'rollcall: two tables are as likely';
        end if;
      end loop;
      exit when target is not null;
    end loop;
    if target is null then
      raise exception using errcode = 'RC001', message = 'rollcall: no table got a row';
    end if;

    -- where its columns came from; and from where when that is not there
    for level in 1..3 loop
      evidence := rollcall.draft_evidence(
        target.id, target.key, target.is_uuid, array(select p.value::uuid from jsonb_each_text(passed) p), true);
      keys := array(
        select k from unnest(keys) k
        where not exists (select from jsonb_each_text(evidence -> 'sources') x where strpos(x.value, quote_literal(k)) > 0));
      exit when level = 3 or not passed ? 'full';
      select u.users_row into person from rollcall.sample_users(at_domain, keys) u where u.kind = 'email';
      begin
        perform rollcall.sign_up(person, 'signup');
        if is_confirmed then
          perform rollcall.sign_up(person, 'confirmation');
        end if;
        passed := passed || jsonb_build_object('level ' || level, person -> 'id');
      exception when others or assert_failure then
        -- without that value there is no signup
        exit;
      end;
    end loop;

    if is_confirmed then
      left_out := array['unconfirmed'];
    end if;
    s.key_column := target.key;
    s.key_is_uuid := target.is_uuid;
    for who in select k as kind from unnest(array['phone', 'anonymous']) k where passed ? k loop
      execute format('select exists (select from %s t where %s)', target.id, rollcall.key_match(s, '$1')) into is_there
        using (passed ->> who.kind)::uuid;
      if not is_there then
        left_out := left_out || who.kind;
      end if;
    end loop;
    example := jsonb_build_object(
      'table', (
        select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target.id),
      'key', target.key, 'sources', evidence -> 'sources', 'rest', evidence -> 'rest', 'left_out', left_out,
      'is_complete', passed ? 'full', 'has_borrowed_domain', at_domain is distinct from 'example.invalid',
      'also_writes', array(select distinct w from unnest(written) w where to_regclass(w) <> target.id order by 1));
    raise exception using errcode = 'RC001', message = 'rollcall: trial over';
  exception
    when sqlstate 'RC001' then
      null;
    when others or assert_failure then
      example := null;
  end;
  return example;
end
$$;
comment on function rollcall.signup_example(regclass) is
  'Signs up made-up users of several kinds, each value one of its own, and rolls that back: the table that got their rows (or this one), where its columns came from, which kinds got none, and which other tables were written. For rollcall.draft_definition(); null: nothing could be tried or learnt.';
