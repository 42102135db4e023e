-- Policies by which people who are signed in make their own profile.
client_policy as materialized (
  select y.polname
  from place l
  join pg_catalog.pg_policy y on y.polrelid = l.target and l.target_has_rls and y.polcmd in ('a', '*') and y.polpermissive
  where exists (
    select from unnest(y.polroles) r
    where r = 0 or r in (select a.oid from pg_catalog.pg_roles a where a.rolname in ('anon', 'authenticated')))
)
