-- The triggers that a signup, its confirmation or a sign-in fires, in the order in which they fire, with what they stand for.
path_trigger as materialized (
  select
    t.oid as trigger_id, t.tgname::text as name, t.tgrelid as relation, t.tgrelid::regclass::text as relation_name,
    t.tgfoid as function_id, pg_catalog.pg_get_triggerdef(t.oid) as definition,
    t.tgenabled in ('O', 'A') as is_enabled, t.tgqual is not null as is_conditional, t.tgtype::integer & 1 = 1 as is_for_each_row,
    t.tgconstraint <> 0 as is_constraint, t.tgdeferrable and t.tginitdeferred as is_at_commit, t.tgtype::integer & 4 = 4 as is_on_insert,
    -- Supabase Auth updates the user within the signup, too
    t.tgtype::integer & 4 = 0 and (t.tgqual is not null or cardinality(t.tgattr::smallint[]) > 0) as is_for_confirmation,
    t.tgtype::integer & 4 = 0 and cardinality(t.tgattr::smallint[]) = 1 and exists (
      select from pg_catalog.pg_attribute a where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::smallint[]) and a.attname = 'last_sign_in_at'
    ) as is_for_sign_in,
    r.is_ours, r.signature,
    row_number() over (
      order by t.tgdeferrable and t.tginitdeferred, t.tgtype::integer & 4 = 0, t.tgrelid <> l.users, t.tgtype::integer & 2 = 0,
        case t.tgtype::integer & 2 when 0 then t.tgtype::integer & 1 = 0 else t.tgtype::integer & 1 = 1 end, t.tgname collate "C"
    ) as position
  from place l
  join pg_catalog.pg_trigger t on t.tgrelid in (l.users, l.identities)
  join routine r on r.function_id = t.tgfoid
  where not t.tgisinternal
    and (
      t.tgtype::integer & 4 = 4
      or t.tgtype::integer & 16 = 16 and t.tgrelid = l.users and (
        cardinality(t.tgattr::smallint[]) = 0
        or exists (
          select from pg_catalog.pg_attribute a
          where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::smallint[])
            and a.attname in ('email_confirmed_at', 'phone_confirmed_at', 'confirmed_at', 'confirmation_token', 'last_sign_in_at')))
    )
)
