-- Where anonymous users need no profile, they need one from the moment they give an e-mail address: an update, which
-- triggers on insert do not see.
select
  'info',
  'an anonymous user who becomes a real one gets no profile at that moment',
  'Anonymous users need no profile, by the definition. When one gives an e-mail address or a phone number, they need one, and the trigger for signups does not run again.',
  array['anonymous users are there', 'no trigger on update of auth.users makes profiles'],
  'Let a trigger after update of is_anonymous make the profile. Until then such users are counted as missing, and a repair makes it: rollcall backfill.',
  null
from facts f
where f.has_anonymous and not f.expects_anonymous
  and not exists (
    select
    from place l
    cross join profile_insert i
    join pg_catalog.pg_trigger t on t.tgrelid in (l.users, l.identities)
    join routine r on r.function_id = t.tgfoid
    where not t.tgisinternal and t.tgenabled in ('O', 'A') and (t.tgtype::integer & 16 = 16 or t.tgrelid = l.identities)
      and (r.is_ours or r.body ~* i.pattern or not r.is_readable)
  )
