-- Each text once for each path.
reading as materialized (
  select distinct e.function_id, e.path, e.source, e.text from examined e where e.text is not null
)
