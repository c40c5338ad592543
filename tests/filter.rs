//! A filter means the same in SQL and in memory: whatever the rows, whatever the filter. What a query
//! lists, what a subscription follows and who gets a broadcast are then the same set.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use besty::{
    feed::Feed,
    keyset::PageRequest,
    reservations::{ReservationFilter, Status, filter::DateRange, store},
};
use chrono::NaiveDate;
use entity::reservation;
use migration::MigratorTrait as _;
use proptest::{prelude::*, test_runner::TestRunner};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use tokio::runtime::Handle;

use crate::support::{TestDb, on_both};

on_both!(a_filter_means_the_same_in_sql_and_in_memory);

/// Descending, backward, and rows a page.
const WAYS: [(bool, bool, u32); 8] = [
    (false, false, 1),
    (false, true, 1),
    (true, false, 1),
    (true, true, 1),
    (false, false, 3),
    (true, false, 3),
    (false, false, 100),
    (true, false, 100),
];

/// What texts are made of: both cases of letters that are ASCII, that are not and that change their
/// length; what LIKE and SQL take for something else; characters that combine or need four bytes.
const LETTERS: &[char] = &[
    'a', 'A', 'z', 'é', 'É', 'ß', 'ẞ', 'İ', 'i', 'ı', 'I', 'K', 'k', '\u{212a}', '\u{301}', '%', '_', '\\',
    '\'', '"', ' ', '\n', '$', '1', '😀',
];

fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> + Clone {
    prop::collection::vec(prop::sample::select(LETTERS), length).prop_map(String::from_iter)
}

/// So few that lists often name one that is there, in this case or the other.
fn id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "A", "b%", "b_", "bx", "\\", "", "é", "É", "😀"]).prop_map(str::to_owned)
}

fn day() -> impl Strategy<Value = NaiveDate> {
    (1..9_u32).prop_map(|day| NaiveDate::from_ymd_opt(2026, 5, day).unwrap())
}

fn currency() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["USD", "usd", "EUR", ""]).prop_map(str::to_owned)
}

/// By identifier, since that is unique.
fn rows() -> impl Strategy<Value = BTreeMap<String, reservation::Model>> {
    let guest = || prop::option::weighted(0.7, text(0..5));
    let status = prop::sample::select(vec!["confirmed", "modified", "cancelled"]);
    // Stays of each number of nights up to two weeks are found by themselves, longer ones together.
    let arrival = prop_oneof![4 => day(), 1 => (0..60_u64).prop_map(|days| NaiveDate::from_ymd_opt(2026, 5, 8).unwrap() - chrono::Days::new(days))];
    let stay = (arrival, prop_oneof![4 => 1..4_u64, 2 => 1..70_u64, 1 => 1_000..1_500_u64]);
    let row = (id(), id(), status, stay, currency(), (guest(), guest(), guest(), guest())).prop_map(
        |(property_id, guest_id, status, (check_in, nights), currency, (first, last, email, phone))| {
            reservation::Model {
                id: 0,
                reservation_id: String::new(),
                property_id,
                guest_id,
                status: status.to_owned(),
                check_in,
                check_out: check_in + chrono::Days::new(nights),
                num_guests: 2,
                total_amount: rust_decimal::Decimal::ONE,
                currency,
                guest_first_name: first,
                guest_last_name: last,
                guest_email: email,
                guest_phone: phone,
                webhook_id: None,
                event_timestamp: None,
                created_at: None,
                updated_at: None,
            }
        },
    );
    let reservation_id = prop_oneof![id(), text(0..4)];
    prop::collection::btree_map(reservation_id, row, 1..10)
}

/// Most parts are missing, or nothing would ever match.
fn filter() -> impl Strategy<Value = ReservationFilter> {
    let statuses = vec![Status::Confirmed, Status::Modified, Status::Cancelled];
    let statuses = prop::option::weighted(0.3, prop::sample::subsequence(statuses, 0..=3));
    let list = || prop::option::weighted(0.15, prop::collection::vec(id(), 0..5));
    let range = || {
        let end = || prop::option::weighted(0.15, day());
        (end(), end()).prop_map(|(from, to)| DateRange { from, to })
    };
    let dates = (range(), range(), prop::option::weighted(0.3, day()));
    let texts = (prop::option::weighted(0.15, currency()), prop::option::of(text(0..3)));
    (statuses, list(), list(), list(), dates, texts).prop_map(
        |(statuses, property_ids, guest_ids, reservation_ids, dates, (currency, search))| {
            let (check_in, check_out, staying_on) = dates;
            ReservationFilter {
                statuses,
                property_ids,
                guest_ids,
                reservation_ids,
                check_in,
                check_out,
                staying_on,
                currency,
                search,
            }
        },
    )
}

async fn a_filter_means_the_same_in_sql_and_in_memory(db: TestDb) {
    let pool = db.connect().await;
    migration::Migrator::up(pool.pool(), None).await.unwrap();
    // A page comes with the position of the log.
    Feed::open(pool.clone(), 1).await.unwrap();
    let (conn, matched) = (pool.pool(), RefCell::new(BTreeMap::<bool, usize>::new()));
    let compare = async |rows: &BTreeMap<String, reservation::Model>, filters: &[ReservationFilter]| {
        reservation::Entity::delete_many().exec(conn).await.unwrap();
        let rows = rows.iter().map(|(reservation_id, row)| {
            let mut row = reservation::Model { reservation_id: reservation_id.clone(), ..row.clone() }
                .into_active_model();
            row.not_set(reservation::Column::Id);
            row
        });
        reservation::Entity::insert_many(rows).exec_without_returning(conn).await.unwrap();
        let all = store::latest(&pool, &ReservationFilter::default(), 500, 0).await.unwrap();
        let mut seen = Vec::new();
        for filter in filters {
            let listed = store::latest(&pool, filter, 500, 0).await.unwrap();
            let by_sql: BTreeSet<_> = listed.into_iter().map(|row| row.reservation_id).collect();
            let in_memory: BTreeSet<_> =
                all.iter().filter(|row| filter.matches(row)).map(|row| row.reservation_id.clone()).collect();
            prop_assert_eq!(&by_sql, &in_memory, "SQL, then in memory, for {:?}", filter);
            // Some filters are read piece by piece, each piece in the order of the list, and some pieces only where
            // others do not fill the page.
            for (descending, backward, limit) in WAYS {
                let order = (store::OrderField::CheckIn, descending);
                let request = PageRequest { limit, backward, ..PageRequest::default() };
                let page = store::page(&pool, filter, order, &request).await.unwrap().0.rows;
                let mut wanted: Vec<_> = all.iter().filter(|row| filter.matches(row)).collect();
                wanted.sort_by_key(|row| (row.check_in, row.id));
                if descending {
                    wanted.reverse();
                }
                let beyond = wanted.len().saturating_sub(usize::try_from(limit).unwrap());
                let wanted = if backward { &wanted[beyond..] } else { &wanted[..wanted.len() - beyond] };
                prop_assert!(page.iter().eq(wanted.iter().copied()), "{request:?} of {filter:?}");
            }
            seen.extend(all.iter().map(|row| in_memory.contains(&row.reservation_id)));
        }
        Ok(seen)
    };
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (rows(), prop::collection::vec(filter(), 8));
    // A failure is made as small as it can be by trying again and again.
    let result = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&strategy, |(rows, filters)| {
            let seen = Handle::current().block_on(compare(&rows, &filters))?;
            for is_in in seen {
                *matched.borrow_mut().entry(is_in).or_default() += 1;
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // Else it would have shown nothing.
    let matched = matched.into_inner();
    eprintln!("rows that matched and that did not: {matched:?}");
    assert!(matched.len() == 2 && matched.values().all(|count| *count > 200), "{matched:?}");
    pool.close().await.unwrap();
}
