-- The app makes the profile itself, from the browser. Row level security lets it only once the user is signed in; people
-- who have to confirm an address first are not.
select
  case when f.missing_unconfirmed > 0 then 'warning' else 'info' end,
  case when f.missing_unconfirmed > 0
    then format('%s not confirmed yet and without a profile, which the app alone could make',
      case f.missing_unconfirmed when 1 then '1 user has' else f.missing_unconfirmed || ' users have' end)
    else 'profiles are made by the app, not by a trigger'
  end,
  'Before the confirmation there is no session, so row level security refuses what the app inserts, and the app may not notice.',
  array[format('no trigger makes profiles in %s', l.target_written)]
    || array(select format('policy %s lets people make their own', p.polname) from client_policy p order by p.polname)
    || case when f.missing_unconfirmed > 0 then array[format('users: %s', f.missing_unconfirmed)] else '{}' end,
  case when f.missing_unconfirmed > 0
    then 'If they need no profile before they confirm, leave them out by the where of the definition. Else let a trigger make the profile at signup.'
    else 'Nothing to do where the app makes them at the first sign-in.'
  end,
  null
from facts f
cross join place l
cross join trigger_state s
where s.state = 'missing' and exists (select from client_policy)
