-- $1 the function, $2 its own definition; null: it is not needed any more.
update rollcall.settings s
set replaced = case when $2 is null then s.replaced - ('guard ' || $1) else s.replaced || jsonb_build_object('guard ' || $1, $2) end
