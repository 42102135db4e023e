-- The profiles of some users, comparable with the twin's: without what differs from project to project.
select regexp_replace(regexp_replace((to_jsonb(t.*) - array[APART]::text[])::text,
  '(?!00000000-0000-4000-)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<uuid>', 'g'),
  '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?', '<time>', 'g')
from TABLE t
where t.KEY::text AMONG
order by 1
