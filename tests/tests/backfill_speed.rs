//! How fast a repair is beside what it could be: rows a second of five ways over the same users, interleaved, medians.
//!
//! Nothing is asserted, since the machine decides; run it by
//! `cargo test -p rollcall-tests --test backfill_speed -- --ignored --nocapture`.

use std::env;
use std::io::{Write, stderr};
use std::time::Instant;

use anyhow::Result;
use rollcall::backfill;
use rollcall_tests::backfills::{NO_BAD_ADDRESS, add_missing, order};
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;

/// The least that a repair by sets does: ids of a page, then one insert, in transactions of a thousand. No event, no
/// cursor, no receipt.
const BARE_SETS: &str = "
    create procedure public.bare_sets() language plpgsql as $$
    declare
      page uuid[];
      statement constant text := rollcall.profile_insert_sql('{}');
    begin
      loop
        page := array(select rollcall.missing_users(page[cardinality(page)], 1000));
        exit when cardinality(page) = 0;
        execute statement using page, '{}'::jsonb;
        commit;
      end loop;
    end $$";

/// A row at a time with a subtransaction and an event each, as the reference description has it; with `p_results`, each
/// outcome is appended to one growing JSON array, as it was shipped.
const ROW_BY_ROW: &str = "
    create function public.one_row(p_user_id uuid) returns jsonb language plpgsql as $$
    declare
      u record;
    begin
      select id, email, raw_user_meta_data ->> 'account_type' as account_type into u from auth.users where id = p_user_id;
      insert into public.profiles (id, email, account_type) values (u.id, u.email, coalesce(u.account_type, 'sme'))
      on conflict (id) do update set updated_at = now();
      insert into public.user_events (user_id, kind, payload)
      values (u.id, 'profile_backfilled', jsonb_build_object('email', u.email, 'account_type', u.account_type));
      return jsonb_build_object('success', true, 'user_id', u.id, 'email', u.email, 'account_type', u.account_type, 'action', 'backfilled');
    exception when others then
      insert into public.user_events (user_id, kind, payload) values (p_user_id, 'profile_backfill_error', jsonb_build_object('error', sqlerrm));
      return jsonb_build_object('success', false, 'user_id', p_user_id, 'error', sqlerrm, 'sqlstate', sqlstate);
    end $$;
    create function public.row_by_row(p_results boolean) returns jsonb language plpgsql as $$
    declare
      r record;
      answer jsonb;
      results jsonb := '[]';
    begin
      for r in select u.id from auth.users u left join public.profiles p on p.id = u.id where p.id is null order by u.created_at loop
        answer := public.one_row(r.id);
        if p_results then
          results := results || answer;
        end if;
      end loop;
      return results;
    end $$";

async fn seconds(way: &str, users: u32) -> Result<f64> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(&[NO_BAD_ADDRESS, BARE_SETS, ROW_BY_ROW].join(";"))
        .await?;
    let bad: Vec<u32> = if way == "ours, 0.1 % bad" {
        (1..=users).filter(|number| number % 1000 == 500).collect()
    } else {
        Vec::new()
    };
    add_missing(&project, 1, users, &bad).await?;
    client
        .batch_execute("analyze auth.users; checkpoint")
        .await?;
    let began = Instant::now();
    match way {
        "bare sets" => client.batch_execute("call public.bare_sets()").await?,
        "row by row" => {
            client
                .batch_execute("select public.row_by_row(false)")
                .await?
        }
        "row by row, as shipped" => {
            client
                .batch_execute("select public.row_by_row(true)")
                .await?
        }
        _ => {
            backfill::apply(
                &mut project.session()?,
                &order(1000, None, None),
                None,
                |_| (),
            )
            .await?;
        }
    }
    let took = began.elapsed().as_secs_f64();
    let made: i64 = value(&client, "select count(*) from public.profiles").await?;
    assert_eq!(made, i64::from(users) - i64::try_from(bad.len())?);
    Ok(took)
}

#[tokio::test]
#[ignore = "measures, and takes minutes"]
async fn how_fast_a_repair_is() -> Result<()> {
    let number = |name: &str, default: u32| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (users, rounds) = (
        number("ROLLCALL_USERS", 20_000),
        number("ROLLCALL_ROUNDS", 5),
    );
    let ways = [
        "bare sets",
        "ours",
        "ours, 0.1 % bad",
        "row by row",
        "row by row, as shipped",
    ];
    // the last one alone takes minutes
    let ways = &ways[..number("ROLLCALL_WAYS", 5).clamp(1, 5) as usize];
    let mut all = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut all) {
            times.push(seconds(way, users).await?);
        }
    }
    for (way, times) in ways.iter().zip(&mut all) {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        writeln!(
            stderr(),
            "{way:24} {median:8.2} s  {:8.0} rows/s  best {:8.0}",
            f64::from(users) / median,
            f64::from(users) / times[0]
        )?;
    }
    Ok(())
}
