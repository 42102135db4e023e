-- The functions of the application's whose text was read, and those of extensions, which have none, with what it means
-- where one of their statements fails.
examined as materialized (
  select
    r.trigger_id, r.function_id, f.signature as function_name, f.is_definer, f.owner, f.own_path, f.is_trigger_function,
    r.relation, r.via, r.runs_as, pg_catalog.pg_get_userbyid(r.runs_as) as runs_as_name, path.path, r.source, r.text,
    v.tgrelid is not distinct from l.target and l.target is not null as is_on_profile,
    then_it.what, said.severity, said.consequence, said.meaning,
    array_remove(array[
      format('trigger %s on %s', t.name, t.relation_name),
      case when r.caller <> t.function_id then 'by way of ' || r.caller::regprocedure end,
      case when v.oid is not null then format('trigger %s on %s', v.tgname, v.tgrelid::regclass) end
    ], null) as way
  from run r
  cross join place l
  join path_trigger t on t.trigger_id = r.trigger_id and t.is_enabled
  join maker m on m.trigger_id = r.trigger_id
  join routine f on f.function_id = r.function_id
  left join pg_catalog.pg_trigger v on v.oid = r.via
  cross join lateral (
    select array_agg(s.schema order by s.position) as path
    from unnest(
      case when 'pg_catalog' = any (r.path) then r.path else 'pg_catalog'::name || r.path end
    ) with ordinality s (schema, position)
    where s.schema not in ('', 'pg_temp')
  ) path
  cross join lateral (
    select
      case
        when r.text ~* '\mtg_(op|table_name|relid)\M' then 'by operation'
        when not r.is_caught then 'fails'
        when m.makes_profiles and (t.is_ours or v.tgrelid = l.target or m.blocks = 1) then 'no profile'
        else 'caught'
      end as what,
      case when t.is_for_sign_in then 'sign in' when t.is_for_confirmation then 'confirm an address' else 'sign up' end as act,
      t.is_conditional or r.text ~* '\m(if|case|loop)\M' as is_for_some
  ) then_it
  cross join lateral (
    select
      case when then_it.what in ('fails', 'no profile') then 'critical' else 'warning' end as severity,
      case then_it.what
        when 'fails' then case when then_it.is_for_some
          then format('so not everybody can %s', then_it.act) else format('so nobody can %s', then_it.act) end
        when 'no profile' then 'so users sign up without a profile'
        when 'caught' then 'and hides it'
        else 'where it comes to that'
      end as consequence,
      case then_it.what
        when 'fails' then case when t.is_for_sign_in then 'Supabase Auth notes each sign-in in auth.users, and answers with an error.' when t.is_for_confirmation
          then 'Supabase Auth answers with an error to those who follow the link, and the address stays unconfirmed.'
          else 'Supabase Auth answers "Database error saving new user", and keeps nothing of the signup.' end
        when 'no profile' then 'The error is caught: the signup passes, nobody sees why, and the profile is missing.'
        when 'caught' then 'The error is caught: the signup passes, and what the function should have written is missing.'
        else 'The function does different things for different operations; the one that comes to it fails, and the statement with it.'
      end as meaning
  ) said
  where r.is_certain and (r.text is not null or f.language in ('c', 'internal'))
)
