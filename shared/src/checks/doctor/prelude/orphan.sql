-- Trigger functions of the application's that make profiles and that no trigger runs.
orphan as materialized (
  select
    f.signature,
    -- it reads nothing of the new row that a user does not have
    not exists (
      select from regexp_matches(f.body, '\mnew\s*\.\s*("[^"]+"|\w+)', 'gi') m
      where not exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = l.users and not a.attisdropped and a.attname = case when m[1] like '"%' then btrim(m[1], '"') else lower(m[1]) end)
    ) as is_of_users
  from place l
  cross join profile_insert p
  join routine f on f.is_trigger_function and f.is_readable and f.body ~* p.pattern
  where not exists (select from pg_catalog.pg_trigger t where t.tgfoid = f.function_id)
)
