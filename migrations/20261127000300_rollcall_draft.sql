-- The first definition: which table holds the profiles, and where its columns come from.
-- A draft is made from the catalog and the rows that are there, and from signups that were tried, where they may be: a query
-- with comments that say what it was concluded from. A definition that a person has set is never replaced.
-- Values that users can write (raw_user_meta_data) never choose a privilege: a role, a type, a plan or an enum is left to
-- the column's default. Only the table that rollcall.create_profile_table() makes has an allow-list.

create or replace function rollcall.application_schemas() returns oid[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array_agg(n.oid)
  from pg_namespace n
  where n.nspname !~ ('^(pg_.*|information_schema|rollcall|auth|storage|_?realtime|supabase_.*|_supabase|_supavisor|_analytics|extensions'
    '|cron|net|vault|graphql.*|pgsodium.*|pgbouncer|pgmq|pgtle|tiger.*|topology)$')
$$;
comment on function rollcall.application_schemas() is 'The schemas that are neither PostgreSQL''s, Supabase''s nor Rollcall''s.';

create or replace function rollcall.name_pattern(p_name name) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select '(?:(?:"[^"]+"|[\w$]+)\s*\.\s*)?"?' || regexp_replace(replace(p_name, '"', '""'), '(\W)', '\\\1', 'g') || '(?:"|\M)'
$$;
comment on function rollcall.name_pattern(name) is 'A regular expression for the name of a table as code writes it: with its schema or without, quoted or not.';

create or replace function rollcall.fires_at_signup(p_trigger oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- a condition may ask whether a column changed that no signup changes: when (old.email is distinct from new.email)
  select (cardinality(g.tgattr::smallint[]) = 0 or exists (
      select from pg_attribute a where a.attrelid = g.tgrelid and a.attnum = any (g.tgattr::smallint[]) and a.attname ~ written.columns))
    and coalesce(asked.changed !~ written.columns, false) is false
  from pg_trigger g
  cross join (values ('^(role|updated_at|confirmed_at|(email|phone)_confirmed_at)$')) written (columns)
  cross join lateral (
    select case when g.tgqual is not null and pg_get_triggerdef(g.oid) !~ ' OR ' then substring(pg_get_triggerdef(g.oid) from
      '(?:old|new)\.(\w+)\)?(?:::[\w ]+)? (?:IS DISTINCT FROM|<>) \(?(?:old|new)\.\1\M') end as changed
  ) asked
  where g.oid = p_trigger
$$;
comment on function rollcall.fires_at_signup(oid) is 'Whether a signup or its confirmation fires this trigger on update of auth.users, or may.';

create or replace function rollcall.signup_code(p_scope text default 'signup')
returns table (kind text, object_id oid, source text)
-- the planner expects many, and memory for as many is cleared before the first is looked at
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off set work_mem = '256kB' as $$
  with recursive functions as materialized (
    select p.oid, lower(p.proname) as name,
      '\m' || regexp_replace(p.proname, '(\W)', '\\\1', 'g') || '"?\s*\(' as is_called,
      regexp_replace(regexp_replace(
        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') collate "C" as source,
      p.prorettype = 'trigger'::regtype as is_for_triggers
    from pg_proc p
    where p.prokind in ('f', 'p')
      and (p.pronamespace = any ((select rollcall.application_schemas())::oid[])
        or exists (select from pg_trigger g where g.tgfoid = p.oid and not g.tgisinternal))
  ),
  tables as materialized (
    select c.oid, lower(replace(c.relname, '"', '""')) as name,
      '\m(into|update|from)\s+(only\s+)?' || rollcall.name_pattern(c.relname) as is_written
    from pg_class c
    where c.relkind in ('r', 'p', 'v', 'f') and c.relnamespace = any ((select rollcall.application_schemas())::oid[])
  ),
  code (kind, object_id, source) as (
    select 'function', f.oid, f.source
    from functions f
    where (p_scope <> 'profile' and exists (
        select from pg_trigger g
        where g.tgfoid = f.oid and not g.tgisinternal and (p_scope = 'all' or g.tgenabled in ('O', 'A'))
          and (
            p_scope = 'later' and g.tgtype::integer & 8 = 8  -- delete, which reaches every table that refers to the user
            or g.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities')) and (
              g.tgtype::integer & 4 = 4  -- insert
              or g.tgtype::integer & 16 = 16 and (p_scope <> 'signup' or rollcall.fires_at_signup(g.oid))  -- update
            )
          )
      ))
      or (p_scope = 'all' and f.is_for_triggers and not exists (select from pg_trigger g where g.tgfoid = f.oid))
    -- the profile table, however it is written: by name, by dynamic SQL, by a repair
    union all
    select 'table', to_regclass(s.target_table), '' from rollcall.settings s where s.target_table is not null and p_scope <> 'all'
    union
    select x.kind, x.object_id, x.source
    from code
    cross join lateral (
      select 'function' as kind, f.oid as object_id, f.source
      from functions f
      where case when strpos(lower(code.source), f.name) > 0 then code.source ~* f.is_called else false end
      union all
      select 'function', f.oid, f.source
      from pg_trigger g join functions f on f.oid = g.tgfoid
      where code.kind = 'table' and not g.tgisinternal
        and (g.tgrelid = code.object_id or g.tgrelid in (select r.relid from pg_partition_tree(code.object_id) r)) and g.tgenabled in ('O', 'A')
        and g.tgtype::integer & case when p_scope = 'later' then 28 else 20 end <> 0
      union all
      -- what an insert runs beside triggers: defaults and checks
      select 'table', t.oid, concat_ws(' ',
        (select string_agg(pg_get_expr(d.adbin, d.adrelid), ' ') from pg_attrdef d where d.adrelid = t.oid),
        (
          select string_agg(pg_get_constraintdef(k.oid), ' ')
          from pg_constraint k
          where k.contype = 'c'
            and (k.conrelid = t.oid or k.contypid in (select a.atttypid from pg_attribute a where a.attrelid = t.oid and a.attnum > 0))
        )) collate "C"
      from tables t
      where case when strpos(lower(code.source), t.name) > 0 then code.source ~* t.is_written else false end
        or (code.kind = 'table' and code.source = '' and t.oid = code.object_id)
    ) x
  )
  select c.kind, c.object_id, c.source from rollcall.refuse_api_roles(), code c
$$;
comment on function rollcall.signup_code(text) is
  'What a signup runs, as far as texts tell: the functions of its triggers, what they call, the tables they write (source: defaults and checks), and the triggers of those. later: what sign-ins, changes of the address and deletions run as well. profile: what an insert into the profile table runs. all: with disabled triggers and trigger functions that no trigger uses.';

create or replace function rollcall.candidate_tables()
returns table (table_name text, key_column name, reason text, rank integer, stands_out boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off set row_security = off as $$
declare
  written constant oid[] := array(select distinct c.object_id from rollcall.signup_code('all') c where c.kind = 'table');
  sample uuid[] := array(
    select u.id from (select x.* from auth.users x order by x.id limit 200) u where to_jsonb(u.*) ->> 'deleted_at' is null);
  found jsonb := '[]';
  s rollcall.settings;
  c record;
  with_row bigint;
begin
  for c in
    select
      t.oid, format('%I.%I', n.nspname, t.relname) as table_name, k.column_name as key, k.is_uuid, k.references_users,
      n.nspname = 'public' and t.relname = 'profiles' as is_profiles,
      lower(t.relname) like '%profile%' as named_profile,
      lower(t.relname) ~ ('role|credit|quota|customer|token|device|setting|preference|subscri|wallet|balance|permission|session|log|event'
        '|notification|membership|invit|key|secret|stat|usage|onboard|consent|address|payment|billing|purchase|order|score|streak')
        as is_side,
      t.oid = any (written) as is_written
    from pg_class t
    join pg_namespace n on n.oid = t.relnamespace
    left join lateral (select x.* from rollcall.key_candidates(t.oid) x where x.priority < 9 limit 1) k on true
    where t.relkind in ('r', 'p') and not t.relispartition and t.relnamespace = any ((select rollcall.application_schemas())::oid[])
      and not exists (
        select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype = 'e')
      -- asked first, since it costs less than the keys of every table
      and (lower(t.relname) like '%profile%' or exists (
        select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = t.oid and i.indisunique and i.indnkeyatts = 1 and not a.atthasdef and a.attidentity = '')
        or t.oid in (select f.conrelid from pg_constraint f where f.contype = 'f' and f.confrelid = to_regclass('auth.users')))
      and (k.column_name is not null or lower(t.relname) like '%profile%')
    order by k.column_name is null, is_profiles desc, coalesce(k.references_users, false) desc, is_written desc
    limit 40
  loop
    with_row := null;
    if c.key is not null and has_column_privilege(c.oid, c.key, 'select') and not row_security_active(c.oid) then
      s.key_column := c.key;
      s.key_is_uuid := c.is_uuid;
      execute format('select count(*) from unnest($1) x (id) where exists (select from %s t where %s)',
        c.table_name, rollcall.key_match(s, 'x.id')) into with_row using sample;
    end if;
    found := found || jsonb_build_object(
      'table_name', c.table_name, 'key', c.key, 'named_profile', c.named_profile, 'with_row', with_row,
      'rank', case
        when c.key is null then 9
        -- one in which nobody is may be an old one
        when c.is_profiles and (c.is_written or sample = '{}' or with_row > 0) then 1
        -- a table that half of the users are not in is about something else
        when c.references_users and not c.is_written and cardinality(sample) >= 10 and with_row * 2 < cardinality(sample) then 7
        when c.references_users and not c.is_side then case when c.is_written then 2 else 3 end
        when c.references_users and c.is_written then 4
        when c.is_written or c.named_profile then 5
        when c.references_users then 6
        else 8
      end,
      'reason', case when c.key is null
        then 'no column of its own tells whose a row is: one row for one user is needed'
        else concat_ws(', ',
          format('%I is unique and %s', c.key,
            case when c.references_users then 'references auth.users' else 'may hold the user''s id' end),
          case when c.is_written then 'functions of a signup name the table' end,
          case when c.is_side and not c.is_profiles then 'its name is that of a table beside the profiles' end,
          case when with_row >= 0 and sample <> '{}' then format('%s of %s users have a row', with_row, cardinality(sample)) end)
      end);
  end loop;
  return query
    select x.table_name, x.key, x.reason, x.rank, x.rank <= 4 and x.place = 1 and x.equals = 1
    from (
      select
        y.*,
        row_number() over (order by y.rank, not y.named_profile, y.with_row desc nulls last, y.table_name) as place,
        -- of several equal ones, that which is called a profile
        count(*) over (partition by y.rank, y.named_profile) as equals
      from jsonb_to_recordset(found) y (table_name text, key name, reason text, rank integer, named_profile boolean, with_row bigint)
    ) x
    order by x.place;
end
$$;
comment on function rollcall.candidate_tables() is
  'Tables that could be the profile table, best first, each with the reason. One stands out if it is public.profiles with a usable key; else if it is the only one of the best rank that has a unique key referencing auth.users: first of those that a signup''s functions name, then of the others, tables named like side tables (roles, credits, customers, tokens) last. A null key: it cannot be used.';

create or replace function rollcall.is_privilege(p_name text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select string_to_array(n, '_') && '{role,roles,type,types,kind,plan,plans,tier,level,levels,admin,staff,moderator,superuser,
      permission,permissions,privilege,privileges,scope,scopes,status,verified,approved,credit,credits,balance,quota,limit,limits,
      premium,pro,paid,subscription,active,enabled,banned,blocked,flag,flags,access,grant,grants,clearance,group,groups,rank}'
    or n ~ ('(account|user|profile|member)(type|role|plan|level)|isadmin'
      '|(org|organi[sz]ation|tenant|team|group|company|workspace|owner)_?id$')
  from lower(regexp_replace(p_name, '([a-z0-9])([A-Z])', '\1_\2', 'g')) n
$$;
comment on function rollcall.is_privilege(text) is
  'Whether a column or a metadata key is named like something that people must not choose for themselves.';

create or replace function rollcall.sources_by_name(p_column text) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when n in ('email', 'emailaddress', 'useremail', 'mail') then array['u.email::text']
    when n in ('phone', 'phonenumber', 'mobile', 'msisdn') then array['u.phone']
    when n in ('createdat', 'updatedat', 'insertedat', 'joinedat', 'registeredat') then array['u.created_at']
    else array(select format('u.raw_user_meta_data ->> %L', k) from unnest(case
      when n in ('username', 'handle') then '{username,user_name,preferred_username}'::text[]
      when n in ('fullname', 'name', 'displayname') then '{full_name,name,display_name}'
      when n in ('firstname', 'givenname') then '{first_name,given_name}'
      when n in ('lastname', 'familyname', 'surname') then '{last_name,family_name}'
      when n in ('avatarurl', 'avatar', 'picture', 'image', 'imageurl', 'photourl') then '{avatar_url,picture}' end) k)
  end
  from replace(lower(p_column), '_', '') n
$$;
comment on function rollcall.sources_by_name(text) is
  'What a column of this name usually holds, as SQL text over auth.users u, the first that has a value; empty: not known.';

create or replace function rollcall.draft_evidence(
  p_table regclass, p_key name, p_key_is_uuid boolean, p_user_ids uuid[], p_is_trial boolean
) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off set row_security = off as $$
declare
  auth_columns constant text[] := array(
    select a.attname::text from pg_attribute a where a.attrelid = to_regclass('auth.users') and a.attnum > 0 and not a.attisdropped);
  s rollcall.settings;
  pairs text;
  sources text[];
  -- of the first ones nobody chooses the value
  unchosen integer;
  privileges constant text[] := array(
    select a.attname::text from pg_attribute a where a.attrelid = p_table and a.attnum > 0 and rollcall.is_privilege(a.attname));
  usual constant jsonb := (
    select jsonb_object_agg(a.attname, rollcall.sources_by_name(a.attname))
    from pg_attribute a where a.attrelid = p_table and a.attnum > 0);
  chosen jsonb := '{}';
  refuted jsonb := '{}';
  kinds jsonb;
  rest jsonb;
  r jsonb;
begin
  s.key_column := p_key;
  s.key_is_uuid := p_key_is_uuid;
  execute format(
    'select jsonb_object_agg(k.kind, jsonb_build_object(''users'', k.users, ''rows'', k.with_row))
     from (
       select
         case %s %s
           when u.email is null then case when u.phone is null then ''other'' else ''phone'' end
           when u.email_confirmed_at is null and u.phone_confirmed_at is null then ''unconfirmed'' else ''email'' end as kind,
         count(*) as users, count(*) filter (where (select count(*) from %s t where %s) > 0) as with_row
       from auth.users u where u.id = any ($1) group by 1
     ) k',
    case when 'is_anonymous' = any (auth_columns) then 'when u.is_anonymous then ''anonymous''' end,
    case when 'is_sso_user' = any (auth_columns) then 'when u.is_sso_user then ''sso''' end,
    p_table, rollcall.key_match(s, 'u.id')) into kinds using p_user_ids;

  -- where a value could come from: parts of auth.users, and what people say of themselves
  sources := array['u.id', 'u.email::text', 'split_part(u.email, ''@'', 1)', 'u.phone', '''+'' || u.phone', 'u.created_at',
    'u.raw_app_meta_data ->> ''provider''', '''user_'' || left(u.id::text, 8)'];
  if 'is_anonymous' = any (auth_columns) then
    sources := sources || 'u.is_anonymous'::text;
  end if;
  unchosen := cardinality(sources);
  select sources || coalesce(array_agg(format('u.raw_user_meta_data ->> %L', m.key) order by m.times desc, m.key), '{}') into sources
  from (
    select k.key, count(*) as times
    from auth.users u
    cross join lateral jsonb_each(case when jsonb_typeof(u.raw_user_meta_data) = 'object' then u.raw_user_meta_data else '{}' end) k
    where u.id = any (p_user_ids) and jsonb_typeof(k.value) in ('string', 'number') and k.key ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'
      and k.key not in ('sub', 'iss', 'email', 'provider_id')
    group by 1 having not rollcall.is_privilege(min(k.key)) order by 2 desc, 1 limit 40
  ) m;
  if sources @> array['u.raw_user_meta_data ->> ''first_name''', 'u.raw_user_meta_data ->> ''last_name'''] then
    sources := sources
      || 'nullif(concat_ws('' '', u.raw_user_meta_data ->> ''first_name'', u.raw_user_meta_data ->> ''last_name''), '''')'::text;
  end if;

  -- Each value of each row beside the values of all sources; written as to_jsonb writes them, the same for every type.
  -- $3 has the sources that were chosen so far: a row counts for the next one where none of those has a value.
  pairs := format(
    'select c.key as col, c.value as val, pair.src
     from (select array[%s] as src, to_jsonb(t.*) as profile from auth.users u join %s t on %s where u.id = any ($1) limit 120) pair
     cross join lateral jsonb_each_text(pair.profile) c
     where c.key <> $2 and not exists (
       select from jsonb_array_elements_text($3 -> c.key) i where nullif(pair.src[array_position($4, i)], '''') is not null)',
    (select string_agg(format('to_jsonb(%s) #>> ''{}''', x), ', ') from unnest(sources) x), p_table, rollcall.key_match(s, 'u.id'));
  for level in 1..3 loop
    for r in execute format(
      'with cell as materialized (%s)
       select distinct on (m.col) jsonb_build_object(
         ''col'', m.col, ''source'', m.source, ''matching'', m.matching, ''present'', m.present, ''refuted'',
         jsonb_agg(m.source) filter (where m.present >= 5 and m.matching * 2 < m.present) over (partition by m.col))
       from (
         select cell.col, x.i, $4[x.i] as source, count(*) filter (where cell.val = x.src) as matching, count(*) as present
         from cell cross join unnest(cell.src) with ordinality x (src, i)
         where x.src <> '''' and (x.i <= $5 or cell.col <> all ($6)) and ($7 or $3 ? cell.col)
           -- almost any flag is false for almost everybody
           and (x.src not in (''true'', ''false'') or cell.col ~* ''anon|guest'')
         group by 1, 2
       ) m
       order by m.col, m.matching > 0 and m.matching * 2 >= m.present desc, %s m.matching desc, $8 -> m.col ? m.source desc, m.i',
      -- where every value is one of its own, a row that does not fit refutes
      pairs, case when p_is_trial then 'm.present - m.matching,' end)
      using p_user_ids, p_key, chosen, sources, unchosen, privileges, level = 1, usual
    loop
      if level = 1 and r ->> 'refuted' is not null then
        refuted := refuted || jsonb_build_object(r ->> 'col', r -> 'refuted');
      end if;
      if (r ->> 'matching')::bigint >= (case when p_is_trial then (r ->> 'present')::bigint else greatest(2, ((r ->> 'present')::bigint + 1) / 2) end) then
        chosen := jsonb_set(chosen, array[r ->> 'col'], coalesce(chosen -> (r ->> 'col'), '[]') || (r -> 'source'));
      end if;
    end loop;
  end loop;

  -- what is the same in all the rows for which no source has a value
  execute format(
    'select jsonb_object_agg(x.col, x.val)
     from (
       select cell.col, min(cell.val) as val from (%s) cell
       group by 1 having count(cell.val) = count(*) and min(cell.val) = max(cell.val) and count(*) >= $5
     ) x', pairs) into rest using p_user_ids, p_key, chosen, sources, case when p_is_trial then 2 else 10 end;
  return jsonb_build_object('kinds', coalesce(kinds, '{}'), 'sources', chosen, 'rest', coalesce(rest, '{}'), 'refuted', refuted,
    'matches', rollcall.key_match(s, 'u.id'));
end
$$;
comment on function rollcall.draft_evidence(regclass, name, boolean, uuid[], boolean) is
  'What the rows of these users say about a table of profiles: kinds (how many users of each have a row), sources (for each column those that explain its values, in order), rest (the one value of all other rows), refuted (sources that do not explain it), matches (SQL text). In a trial every value is one of its own, and one row proves a source.';

create or replace function rollcall.draft_columns(p_table regclass, p_key name, p_evidence jsonb, p_example jsonb)
returns table (column_name name, expression text, note text, needs_email boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  is_complete constant boolean := coalesce((p_example ->> 'is_complete')::boolean, false);
  sources constant jsonb := case when is_complete then p_example -> 'sources'
    else (p_evidence -> 'sources') || coalesce(p_example -> 'sources', '{}') end;
  c record;
  chain text[];
  same_for_all text;
  fallback text;
begin
  for c in
    select
      a.attname, format_type(a.atttypid, a.atttypmod) as type_name, rollcall.is_privilege(a.attname) as is_privilege,
      a.attnotnull or y.typnotnull as is_required, coalesce(pg_get_expr(d.adbin, d.adrelid), y.typdefault) as default_value,
      coalesce(pg_get_expr(d.adbin, d.adrelid), y.typdefault) ~* '\(|^current_|^local' as is_computed,
      b.oid as type, b.typcategory as category,
      -- metadata is written by the user and may be of any size
      least(2048, case when b.oid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4 then a.atttypmod - 4 end) as max_length,
      exists (select from pg_constraint k where k.conrelid = p_table and k.contype = 'f' and a.attnum = any (k.conkey)) as is_reference,
      y.typtype = 'd' or exists (
        select from pg_constraint k where k.conrelid = p_table and k.contype = 'c' and a.attnum = any (k.conkey)) as is_checked,
      exists (
        select from pg_index i
        where i.indrelid = p_table and i.indisunique
          -- or in an expression of the index, as lower(username)
          and (a.attnum = any (i.indkey::smallint[]) or exists (
            select from pg_depend e
            where e.classid = 'pg_class'::regclass and e.objid = i.indexrelid and e.refobjid = p_table and e.refobjsubid = a.attnum))
      ) as is_unique
    from pg_attribute a
    join pg_type y on y.oid = a.atttypid
    join pg_type b on b.oid = rollcall.base_type(a.atttypid)
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = '' and a.attname <> p_key
    order by a.attnum
  loop
    column_name := c.attname;
    -- what a tried signup did, or the rows show; else what the name says, if no row speaks against it
    chain := array(select jsonb_array_elements_text(sources -> c.attname::text));
    if chain = '{}' and c.is_computed is not true and (not is_complete or (c.is_required and c.category = 'D')) then
      chain := array(
        select n from unnest(rollcall.sources_by_name(c.attname)) with ordinality x (n, i)
        where (not coalesce(p_evidence #> array['refuted', c.attname::text] ? n, false) or (c.is_required and c.category = 'D'))
          -- what people say of themselves stays out of a column that may refuse it
          and (n not like '%raw_user_meta_data%' or not (c.is_unique or c.is_checked))
        order by i);
    end if;
    chain := array(
      select case when n = 'u.id' and c.category = 'S' then 'u.id::text' else n end from unnest(chain) with ordinality x (n, i)
      where (n not like '%raw_user_meta_data%' or not c.is_privilege)
        and case n
          when 'u.id' then c.type = 'uuid'::regtype or c.category = 'S'
          when 'u.created_at' then c.category = 'D'
          when 'u.is_anonymous' then c.category = 'B'
          else c.category = 'S' end
      order by i);
    if c.is_unique and not c.is_required and array_to_string(chain, ' ') like '%raw_user_meta_data%' then
      expression := null;
      note := format('%I is left empty: its values are unique, and one that is taken would cost the user the profile.', c.attname);
      return next;
      continue;
    end if;

    -- A value that is the same for everybody; for a privilege only if nothing chooses it: the signups that were tried agree
    -- on it, from addresses that are nobody's, and the column has no default.
    same_for_all := case
      when c.is_reference or c.category in ('A', 'C', 'D') or (chain <> '{}' and c.category <> 'S') then null
      when c.is_privilege and (c.default_value is not null or p_example is null or (p_example ->> 'has_borrowed_domain')::boolean) then null
      else coalesce(p_example, p_evidence) #>> array['rest', c.attname::text]
    end;
    if chain = '{}'
      and (c.is_computed or coalesce(substring(c.default_value from '^''(.*)''(::.*)?$'), c.default_value) = same_for_all) then
      same_for_all := null;
    end if;
    fallback := case
      when same_for_all is not null then format('%L::%s', same_for_all, case when c.category = 'S' then 'text' else c.type_name end)
      when not c.is_required or (chain = '{}' and (is_complete or c.default_value is not null)) then null
      when c.category = 'D' and chain <> '{}' then 'now()'
      when c.category = 'S' and not c.is_computed then format('(%s)::text', c.default_value)
      when c.category <> 'S' or c.is_privilege or chain = '{u.email::text}' then null
      when (c.is_unique or c.is_checked) and lower(c.attname) ~ 'name|handle|slug'
        then format('left(''user_'' || md5(u.id::text), %s)', least(c.max_length, 20))
      when chain <> '{}' and not (c.is_unique or c.is_checked) then ''''''
    end;

    expression := case
      when cardinality(chain) + (fallback is not null)::integer < 2 then coalesce(chain[1], fallback)
      else format('coalesce(%s)', concat_ws(', ',
        (
          select string_agg(case when n ~ 'meta_data|split_part' then format('nullif(%s, '''')', n) else n end, ', ' order by i)
          from unnest(chain) with ordinality x (n, i)
        ), fallback))
    end;
    if expression like '%raw_user_meta_data%' then
      expression := format('left(%s, %s)', expression, c.max_length);
    end if;
    continue when expression is null and (not c.is_required or c.default_value is not null);
    needs_email := chain = '{u.email::text}' and c.is_required and fallback is null;
    note := case
      when expression is null
        then format('NOT FILLED: %I must have a value (%s) and has no default. Add it here, or repair with --replay.',
          c.attname, c.type_name)
      when same_for_all is null and not sources ? c.attname::text then 'by the name of the column'
      when p_example is null then 'as rows show'
      else 'as tried signups showed' end;
    return next;
  end loop;
end
$$;
comment on function rollcall.draft_columns(regclass, name, jsonb, jsonb) is
  'The columns of a draft but its key, each with its SQL text and where that comes from; without a text: why it is left out.';

create or replace function rollcall.draft_definition(p_table regclass default null, p_example jsonb default null) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off set row_security = off as $$
declare
  target constant regclass := coalesce(p_table, to_regclass(p_example ->> 'table'), (
    select to_regclass(x.table_name) from rollcall.candidate_tables() x where x.key_column is not null limit 1));
  example constant jsonb := case when to_regclass(p_example ->> 'table') = target then p_example end;
  has_deleted constant boolean := exists (
    select from pg_attribute a where a.attrelid = to_regclass('auth.users') and a.attname = 'deleted_at' and not a.attisdropped);
  target_name text;
  key record;
  users uuid[];
  evidence jsonb;
  c record;
  shares bigint[];
  others record;
  makers record;
  made_later text[] := '{}';
  left_out text[];
  conditions text;
  head text[];
begin
  select format('%I.%I', n.nspname, t.relname) into target_name
  from pg_class t join pg_namespace n on n.oid = t.relnamespace where t.oid = target and t.relkind in ('r', 'p');
  select k.column_name, k.is_uuid into key
  from rollcall.key_candidates(target) k
  where k.priority < 9 or k.column_name = example ->> 'key'
  order by k.column_name = example ->> 'key' desc nulls last, k.priority
  limit 1;
  if key.column_name is null or target_name is null then
    raise exception 'rollcall: no column of % can tell whose profile a row is', coalesce(target_name, target::text, 'any table')
      using errcode = 'invalid_table_definition',
        detail = 'One row for one user is needed: a uuid or text column that holds the user''s id, with a unique index of its own.',
        hint = 'A key of several columns does not do, nor does a view. Add such an index, or write the definition: '
          'rollcall.define(table, query). Where there is no profile table: select rollcall.create_profile_table();';
  end if;
  -- half of them the newest, half of them at random (as ids are); each half by an index, or in a table that is small
  execute format(
    'select array((select x.id from auth.users x %1$s order by %2$s limit 500)
       union (select x.id from auth.users x %1$s order by x.id limit 500))',
    case when has_deleted then 'where x.deleted_at is null' end,
    case when pg_relation_size('auth.users') < 32 * 1024 * 1024 then 'x.created_at desc nulls last' else 'x.id desc' end) into users;
  evidence := rollcall.draft_evidence(target, key.column_name, key.is_uuid, users, false);
  select
    array_agg(x.column_name) filter (where x.expression is not null) as names,
    array_agg(x.expression) filter (where x.expression is not null) as expressions,
    array_agg(x.note) filter (where x.expression is not null) as notes,
    array_agg(x.note) filter (where x.expression is null) as not_filled,
    bool_or(x.needs_email) as needs_email
  into c
  from rollcall.draft_columns(target, key.column_name, evidence, example) x;

  -- how many rows they explain
  execute format(
    'select array[count(*)%s] from auth.users u join %s t on %s where u.id = any ($1)',
    (
      select string_agg(format(', count(*) filter (where to_jsonb(t.%I) #>> ''{}'' is not distinct from to_jsonb(%s) #>> ''{}'')',
        x.name, x.expression), '' order by x.i)
      from unnest(c.names, c.expressions) with ordinality x (name, expression, i)
    ), target_name, evidence ->> 'matches') into shares using users;

  -- Kinds of users that are left out, if nobody of the kind has a row: their tried signup made none; or at least five of
  -- them have none, while nine of ten others have one; or a trigger's condition names them.
  select coalesce(sum(k.users), 0) as users, coalesce(sum(k.rows), 0) as with_row into others
  from jsonb_each(evidence -> 'kinds') x cross join lateral jsonb_to_record(x.value) k (users bigint, rows bigint)
  where k.rows > 0;
  select
    coalesce(bool_or(g.tgrelid = to_regclass('auth.users') and g.tgtype::integer & 4 = 4 and pg_get_triggerdef(g.oid) !~* 'when \(.*confirmed_at'), false) as at_insert,
    coalesce(bool_or(g.tgtype::integer & 16 = 16 and pg_get_triggerdef(g.oid) ~* 'confirmed_at'), false) as at_confirmation,
    coalesce(bool_or(g.tgrelid = to_regclass('auth.identities')), false) as with_identity,
    coalesce(bool_or(pg_get_triggerdef(g.oid) ~* 'when \(.*email is not null'), false) as with_address
  into makers
  from pg_trigger g join pg_proc p on p.oid = g.tgfoid
  where g.tgrelid in (to_regclass('auth.users'), to_regclass('auth.identities')) and not g.tgisinternal
    and strpos(lower(p.prosrc), (select lower(t.relname) from pg_class t where t.oid = target)) > 0;
  -- no code of the database makes them: the app does, for those who are signed in
  if example is null and not (makers.at_insert or makers.at_confirmation or makers.with_identity)
    and not exists (
      select from rollcall.signup_code('all') k where k.kind = 'function' and k.source ~* ('\minto\s+' || (select rollcall.name_pattern(t.relname) from pg_class t where t.oid = target))) then
    execute format(
      'select case when count(t.*) > 0 and count(t.*) filter (where u.last_sign_in_at is null) = 0 then array[''never_signed_in''] else ''{}'' end
       from auth.users u join %s t on %s where u.id = any ($1)', target_name, evidence ->> 'matches') into made_later using users;
  end if;
  left_out := made_later || array(
    select x.kind
    from unnest(array['unconfirmed', 'anonymous', 'phone', 'sso', 'other']) x (kind)
    cross join lateral jsonb_to_record(coalesce(evidence #> array['kinds', x.kind], '{}')) k (users bigint, rows bigint)
    where coalesce(k.rows, 0) = 0
      and (
        example -> 'left_out' ? x.kind
        or (k.users >= 5 and others.users >= 5 and others.with_row >= 0.9 * others.users)
        or (x.kind = 'unconfirmed' and example is null and makers.at_confirmation and not makers.at_insert)
        or (x.kind = 'anonymous' and example is null and makers.with_identity and not makers.at_insert)
        or (x.kind in ('anonymous', 'phone') and example is null and makers.with_address)
        or (x.kind = 'anonymous' and example is null and exists (
          select from pg_trigger g
          where g.tgrelid = to_regclass('auth.users') and not g.tgisinternal
            and pg_get_triggerdef(g.oid) ~* 'when \(.*(is_anonymous is (not true|false)|is_anonymous = false|not new\.is_anonymous)'))
      ));
  if left_out @> '{anonymous,phone}' or (c.needs_email and coalesce((evidence #>> '{kinds,phone,rows}')::bigint, 0) = 0) then
    left_out := array_remove(array_remove(array_remove(left_out, 'anonymous'), 'phone'), 'other') || 'no_email'::text;
  end if;
  select string_agg(
      case when x.kind <> '' then format(E'-- %s are left out: %s\n  ', x.words, case
        when example -> 'left_out' ? x.kind then 'their tried signups made no row'
        when x.kind = 'never_signed_in' then 'the app makes the profile, after the first sign-in'
        when x.kind = 'no_email' then 'no row is, or can be, without one'
        when evidence -> 'kinds' ? x.kind then format(
          '0 of %s have a row, while %s of %s others do', evidence #>> array['kinds', x.kind, 'users'], others.with_row, others.users)
        else 'the triggers that make profiles say so' end) else '' end || x.condition, E'\n  and\n  ' order by x.i)
    into conditions
  from (values
    (1, '', '', 'u.deleted_at is null'),
    (2, 'unconfirmed', 'users who have not confirmed an address', '(u.email_confirmed_at is not null or u.phone_confirmed_at is not null'
      || case when (evidence #>> '{kinds,anonymous,rows}')::bigint > 0 then ' or u.is_anonymous)' else ')' end),
    (3, 'no_email', 'users without an e-mail address', 'u.email is not null'),
    (4, 'anonymous', 'anonymous users', 'u.is_anonymous is not true'),
    (5, 'phone', 'users with a phone number and no e-mail address', '(u.email is not null or u.phone is null)'),
    (6, 'sso', 'users of single sign-on', 'u.is_sso_user is not true'),
    (7, 'other', 'users with neither e-mail address nor phone number', '(u.email is not null or u.phone is not null)'),
    (8, 'never_signed_in', 'users who have never signed in', 'u.last_sign_in_at is not null')
  ) x (i, kind, words, condition)
  where x.kind = any (left_out) or (x.kind = '' and has_deleted);

  head := array[format('Drafted by Rollcall for %s from its columns, %s rows%s.', target_name, shares[1],
      case when example is not null then ' and signups that were tried and rolled back' else '' end)]
    || c.not_filled || array(
      select format('A signup here also writes %s: a repair by this definition does not; --replay does.', x)
      from jsonb_array_elements_text(example -> 'also_writes') x);
  return
    (select string_agg('-- ' || regexp_replace(x, '\s+', ' ', 'g') || E'\n', '' order by i) from unnest(head) with ordinality y (x, i))
    || format(E'select\n  u.id as _user_id,\n  %s as _signed_up_at,\n  u.id%s as %I',
      case when left_out @> '{unconfirmed}' then 'coalesce(u.confirmed_at, u.created_at)' else 'u.created_at' end,
      case when key.is_uuid then '' else '::text' end, key.column_name)
    || coalesce((
      select string_agg(
        format(E',\n  -- %s%s\n  %s as %I', regexp_replace(x.note, '\s+', ' ', 'g'),
          case when shares[1] > 0 then format(': explains %s of %s rows', shares[x.i + 1], shares[1]) else '' end, x.expression, x.name),
        '' order by x.i)
      from unnest(c.names, c.expressions, c.notes) with ordinality x (name, expression, note, i)), '')
    || E'\nfrom auth.users u' || coalesce(E'\nwhere\n  ' || conditions, '');
end
$$;
comment on function rollcall.draft_definition(regclass, jsonb) is
  'A definition for a table (null: the best candidate) as a query with comments: from its columns and its rows, and from an example (rollcall.signup_example()) if one is given.';

create or replace function rollcall.adopt_draft(p_example jsonb default null) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  chosen text;
  reason text;
  code text;
begin
  if exists (select from rollcall.settings s where s.target_table is not null and not s.is_draft) then
    return null;
  end if;
  chosen := coalesce((select c.table_name from rollcall.candidate_tables() c where c.stands_out), p_example ->> 'table');
  if chosen is not null then
    perform rollcall.put_in_force(chosen, rollcall.draft_definition(chosen, p_example), true);
    -- the app takes a moment to make the profile
    update rollcall.settings s set grace_period = greatest(s.grace_period, interval '30 seconds')
    where s.query like '%u.last_sign_in_at is not null%';
  end if;
  return chosen;
exception when others or assert_failure then
  get stacked diagnostics reason = message_text, code = returned_sqlstate;
  raise warning 'rollcall: no definition was drafted for % (SQLSTATE %)%', coalesce(chosen, 'any table'), code,
    case when reason like 'rollcall: %' then substr(reason, 10) else '' end
    using hint = 'rollcall definition draft TABLE, then rollcall definition set FILE.';
  return null;
end
$$;
comment on function rollcall.adopt_draft(jsonb) is
  'Puts a drafted definition in force where no person has set one and one table stands out, or the example filled one. Returns the table; null: none. Never raises an error.';

create or replace function rollcall.create_profile_table() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  types constant text[] := array['customer', 'donor', 'investor', 'partner', 'professional', 'service_provider', 'sme', 'sole_proprietor'];
begin
  if to_regclass('public.profiles') is not null then
    raise exception 'rollcall: public.profiles exists'
      using errcode = 'duplicate_table', hint = 'Draft a definition for it: rollcall definition draft public.profiles.';
  end if;
  -- the reference locks auth.users: whoever waited for that would make every signup behind it wait, too
  create table public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    email text,
    account_type text not null default 'sme',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  );
  comment on table public.profiles is 'One row for each user of the application.';
  comment on column public.profiles.email is 'Not unique: single sign-on users may share an address. Null for users without one (phone, anonymous, web3).';
  comment on column public.profiles.account_type is 'What the user is in the application. Users cannot change their own.';
  alter table public.profiles enable row level security;
  create policy profiles_select_own on public.profiles for select to authenticated using ((select auth.uid()) = id);
  create policy profiles_insert_own on public.profiles for insert to authenticated with check ((select auth.uid()) = id);
  create policy profiles_update_own on public.profiles for update to authenticated
    using ((select auth.uid()) = id) with check ((select auth.uid()) = id);
  comment on policy profiles_select_own on public.profiles is 'Users read their own profile.';
  comment on policy profiles_insert_own on public.profiles is 'Users make their own profile where it is missing.';
  comment on policy profiles_update_own on public.profiles is 'Users change their own profile, in the columns they were granted.';
  revoke all on public.profiles from public, anon, authenticated;
  grant select, insert (id, email), update (email, updated_at) on public.profiles to authenticated;
  grant select, insert, update, delete on public.profiles to service_role;

  perform rollcall.define('public.profiles', format(
    $query$select
  u.id as _user_id,
  u.created_at as _signed_up_at,
  u.id,
  u.email::text as email,
  -- a signup may ask for these; whatever else it asks for becomes the default
  case when lower(u.raw_user_meta_data ->> 'account_type') in (%s)
    then lower(u.raw_user_meta_data ->> 'account_type') else 'sme' end as account_type
from auth.users u
where u.deleted_at is null$query$,
    (select string_agg(quote_literal(x), ', ') from unnest(types) x)));
end
$$;
comment on function rollcall.create_profile_table() is
  'Makes public.profiles where there is none (id, email, account_type, timestamps; users see and change their own row, but not their account_type) and puts its definition in force. Never called by an install.';

do $$ begin perform rollcall.adopt_draft(); end $$;
