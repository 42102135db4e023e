-- A statement that compares the definition with the rows there are: for each kind of user and each column, how many profiles
-- have the value that a created one would have. Values are compared as text of the column's own type. The key is left out:
-- it is what the two are joined by.
with s as materialized (
  select (rollcall.require_definition()).*
), compared as (
  -- three lists of one length: the names, what a created profile would have, what the profiles have
  select format('array[%s]::text[], array[%s]::text[], array[%s]::text[]',
    string_agg(quote_literal(c.column_name), ', ' order by c.column_name),
    string_agg(format('(e.%I::%s)::text', c.column_name, c.target_type), ', ' order by c.column_name),
    string_agg(format('t.%I::text', c.column_name), ', ' order by c.column_name)) as lists
  from rollcall.profile_columns() c
  where c.target_type is not null and c.column_name <> (select s.key_column from s)
)
select
  'with kinds as materialized (
     select u.id,
       case
         when coalesce((to_jsonb(u) ->> ''is_anonymous'')::boolean, false) then 4
         when u.is_sso_user then 3
         when u.email is not null then 1
         when u.phone is not null then 2
         else 5
       end as kind
     from auth.users u
     where u.deleted_at is null
   ), actual as materialized (select a._user_id from (' || s.actual_query || ') a),
   counts as (
     select k.kind, count(*) as users, count(e._user_id) as expected,
       count(*) filter (where e._user_id is not null and a._user_id is not null) as with_profile,
       count(*) filter (where e._user_id is null and a._user_id is not null) as unexpected
     from kinds k
     left join (' || s.query || '
     ) e on e._user_id = k.id
     left join actual a on a._user_id = k.id
     group by k.kind
   ), shares as (
     select k.kind, pair.position, pair.name,
       count(*) filter (where pair.wanted is not distinct from pair.found) as same,
       count(*) filter (where pair.wanted is null and pair.found is not null) as only_profile,
       count(*) filter (where pair.wanted is not null and pair.found is null) as only_definition,
       count(*) filter (where pair.wanted <> pair.found) as other
     from (' || s.query || '
     ) e
     join kinds k on k.id = e._user_id
     join ' || s.target_table || ' t on ' || rollcall.key_match(s::rollcall.settings, 'e._user_id') || '
     cross join lateral unnest(' || compared.lists || ') with ordinality pair (name, wanted, found, position)
     group by k.kind, pair.position, pair.name
   )
   select
     (array[''email'', ''phone'', ''sso'', ''anonymous'', ''other''])[c.kind] as kind,
     c.users, c.expected, c.with_profile, c.unexpected,
     h.name as column_name, h.same, h.only_profile, h.only_definition, h.other
   from counts c
   left join shares h on h.kind = c.kind
   order by c.kind, h.position' as statement
from s, compared
