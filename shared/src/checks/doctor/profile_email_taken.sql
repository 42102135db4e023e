-- The profile table wants each e-mail address once, auth.users does not: users of single sign-on may share one, a profile
-- without a user keeps its own, and older rows differ in case.
select
  'critical',
  format('%s without a profile, since another profile holds the same e-mail address',
    case f.email_taken when 1 then '1 user is' else f.email_taken || ' users are' end),
  'Users of single sign-on may share an address with others; a profile whose user is gone keeps its own; a row that nobody has claimed yet may be theirs. No repair can make a second profile with that address.',
  array[format('users: %s', f.email_taken), format('unique index on the e-mail address of %s', f.target_name)],
  'See who: rollcall mismatches. Decide for each what becomes of the other profile: claim it for the user, change its address, or leave it.',
  null
from facts f
where f.email_taken > 0
