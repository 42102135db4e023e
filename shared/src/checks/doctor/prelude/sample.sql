-- What the definition gives for made-up users, where it fits its table.
sample as materialized (
  select p.*
  from facts f
  cross join lateral rollcall.sample_profiles() p
  where f.target is not null and f.fault is null and f.unreadable is null
)
