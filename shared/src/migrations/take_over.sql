-- Makes the names of the public API free (migrate --replace-api): functions and views of the application's under them are
-- kept in rollcall.settings, with rights and comment, and dropped. A rollback gives them back. A table stays.
do $$
declare
  theirs record;
begin
  for theirs in
    select 'function ' || p.oid::regprocedure as object, pg_get_functiondef(p.oid) as definition,
      coalesce(p.proacl, acldefault('f', p.proowner)) as rights, obj_description(p.oid, 'pg_proc') as comment
    from pg_proc p
    where p.proname = any (string_to_array(current_setting('rollcall.names'), ','))
      and p.pronamespace = 'public'::regnamespace and p.prokind <> 'a' and not rollcall.is_ours(p.oid)
    union all
    select 'view ' || c.oid::regclass, 'create view ' || c.oid::regclass || ' as ' || pg_get_viewdef(c.oid),
      coalesce(c.relacl, acldefault('r', c.relowner)), obj_description(c.oid, 'pg_class')
    from pg_class c
    where c.relname = any (string_to_array(current_setting('rollcall.names'), ','))
      and c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
  loop
    update rollcall.settings s
    set replaced = s.replaced || jsonb_build_object('api ' || theirs.object, concat_ws('; ',
      theirs.definition,
      format('revoke all on %s from public, anon, authenticated, service_role', replace(theirs.object, 'view ', '')),
      (
        select string_agg(format('grant %s on %s to %s', x.privilege_type, replace(theirs.object, 'view ', ''),
          case when x.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end), '; ')
        from aclexplode(theirs.rights) x
      ),
      case when theirs.comment is not null then format('comment on %s is %L', theirs.object, theirs.comment) end));
    execute 'drop ' || theirs.object;
  end loop;
end
$$
