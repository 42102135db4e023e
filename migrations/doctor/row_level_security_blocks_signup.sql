-- Row level security binds a function's owner who neither owns the table nor bypasses it, and also the table's owner where
-- it is forced. No policy for signed-in users helps: nobody is signed in during a signup.
create or replace function rollcall.doctor_row_level_security_blocks_signup() returns setof rollcall.doctor_finding
language sql stable set search_path = '' as $$
  select
    'critical',
    format('row level security keeps the function %s, which runs as %s, from inserting into %s, so nobody can sign up',
      t.function_name, t.runs_as, c.oid::regclass),
    'Supabase Auth answers "Database error saving new user" to everyone who signs up (42501, row-level security policy), and keeps nothing of it.',
    array[
      format('%s is owned by %s%s', c.oid::regclass, pg_catalog.pg_get_userbyid(c.relowner), case when c.relforcerowsecurity then ', and row level security is forced' else '' end),
      format('%s does not bypass row level security', t.runs_as), format('trigger %s', t.trigger_name)
    ],
    'Let the function run as a role that row level security does not bind (postgres on Supabase), or allow its role the insert.',
    case when t.is_definer and c.relforcerowsecurity and pg_has_role(t.runs_as, c.relowner, 'usage')
      then format('alter table %s no force row level security;', c.oid::regclass)
      else format('create policy rollcall_signup on %s for insert to %I with check (true);', c.oid::regclass, t.runs_as)
    end
  from rollcall.signup_triggers() t
  join lateral (
    select distinct w.relation from rollcall.names_in_code(t.code, t.path) w where w.kind = 'relation' and w.command = 'insert into'
  ) n on n.relation is not null
  join pg_catalog.pg_class c on c.oid = n.relation and c.relrowsecurity
  join pg_catalog.pg_roles r on r.rolname = t.runs_as and not r.rolsuper and not r.rolbypassrls
  where t.is_enabled and not t.is_ours
    and has_table_privilege(t.runs_as, c.oid, 'insert')
    and (c.relforcerowsecurity or not pg_has_role(t.runs_as, c.relowner, 'usage'))
    -- of a policy whose condition can be anything, it is not known
    and not exists (
      select from pg_catalog.pg_policy y
      where y.polrelid = c.oid and y.polcmd in ('a', '*') and y.polpermissive
        and exists (select from unnest(y.polroles) member where case when member = 0 then true else pg_has_role(t.runs_as, member, 'usage') end)
        and coalesce(pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid), pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'true') !~ '\m(auth\.)?(uid|jwt|role)\(|request\.jwt'
    )
$$;
comment on function rollcall.doctor_row_level_security_blocks_signup() is
  'Check row_level_security_blocks_signup: the role that a signup function runs as is bound by row level security of the table it inserts into.';
