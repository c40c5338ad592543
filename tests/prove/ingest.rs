//! Ingest: any order, any repeats, any kill, any outage: nothing that was answered 200 is lost.

use std::{sync::Arc, time::Duration};

use besty::{
    reservations::{ReservationEvent, ReservationFilter, event, store},
    sandbox::{Effect, Fault, Kind},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use sea_orm::DbBackend;
use serde_json::Value;

use crate::{
    load::{conflicts, events, post_all},
    support::{TestApp, TestDb, app::Provider, binary::Server, fold, on_both, sse::Sse},
};

on_both!(a_storm_of_events_ends_like_sorted_ones, every_answered_event_survives_kills);

fn parsed(events: &[Value]) -> Vec<ReservationEvent> {
    let one = |event: &Value| match event::parse(event.to_string().as_bytes()) {
        Ok(event::Parsed::Event(event)) => *event,
        other => panic!("{other:?}"),
    };
    events.iter().map(one).collect()
}

async fn nobody_is_looked_up() -> Provider {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    provider
}

/// The ids of a stream up to one of them.
async fn ids_until(stream: &mut Sse, last: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.last().is_none_or(|id| id != last) {
        let event = stream.next().await;
        if event.kind != "ready" {
            ids.push(event.id);
        }
    }
    ids
}

/// 20,000 events for 2,000 reservations, shuffled, a fifth of them repeated, from 64 connections; on PostgreSQL to
/// two servers of the one database, since one alone has one writer.
async fn a_storm_of_events_ends_like_sorted_ones(db: TestDb) {
    let (provider, mut rng) = (nobody_is_looked_up().await, StdRng::seed_from_u64(3));
    let app = TestApp::start(&db, &provider).await;
    let has_other = app.running().db().backend() == DbBackend::Postgres;
    let other = if has_other { Some(TestApp::start(&db, &provider).await) } else { None };
    let base = events(20_000, 2_000, &mut rng);
    let conflicts = conflicts(&parsed(&base));
    assert!(conflicts > 100, "repeats that say something else are among them: {conflicts}");
    let mut storm = [&base[..], &base[..4_000]].concat();
    storm.shuffle(&mut rng);
    let storm = Arc::new(storm);
    let mut early = Sse::open(app.http(), app.url("/api/events"), None).await;
    let begin = early.next().await.id;
    let reading = tokio::spawn(async move {
        let mut ids = Vec::new();
        while let Some(event) = early.read().await {
            ids.push(event.id);
        }
        ids
    });
    let start = tokio::time::Instant::now();
    let urls: Vec<_> = [Some(&app), other.as_ref()].into_iter().flatten().map(|app| app.url("")).collect();
    let answers = post_all(&urls, Arc::clone(&storm), 64).await;
    let took = start.elapsed().as_secs_f64();
    let count = |result: &str| {
        answers.iter().filter(|(_, answer)| answer.as_ref().unwrap().1["result"] == result).count()
    };
    assert!(answers.iter().all(|(_, answer)| answer.as_ref().unwrap().0 == 200));
    let (applied, stale, duplicate) = (count("applied"), count("stale"), count("duplicate"));
    // On a busy machine the database may take too long for some: they are spooled, and applied afterwards.
    let queued = count("queued");
    println!(
        "{} events in {took:.1} s, {conflicts} of them repeats that conflict: {applied} applied, {stale} stale, \
         {duplicate} duplicates, {queued} queued",
        storm.len()
    );
    for app in [Some(&app), other.as_ref()].into_iter().flatten() {
        app.metric_is("besty_spool_waiting", 0).await;
    }

    let rows = store::latest(app.running().db(), &ReservationFilter::default(), 10_000, 0).await.unwrap();
    fold::check_rows(&rows, &parsed(&base));
    let pool = db.connect().await;
    let entries = fold::check_log(&pool, &rows).await;
    let by_events = entries.iter().filter(|entry| entry.kind != "guest_updated").count();
    assert!(
        (applied..=applied + queued).contains(&by_events),
        "the log holds each applied event once: {by_events}"
    );
    assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq));

    let wanted: Vec<_> =
        entries.iter().map(|entry| app.running().hub().feed().cursor(entry.seq).to_string()).collect();
    let mut late = Sse::open(app.http(), app.url("/api/events"), Some(&begin)).await;
    assert_eq!(ids_until(&mut late, wanted.last().unwrap()).await, wanted, "a reader that came late");
    app.stop().await;
    if let Some(other) = other {
        other.stop().await;
    }
    assert_eq!(reading.await.unwrap(), wanted, "a reader that was there from the start");
    pool.close().await.unwrap();
}

/// Has every other event be about a reservation of its own, so that it is seen when it is lost, and the rest about some
/// that have many.
fn tell_apart(events: &mut [Value], round: usize) {
    for (n, event) in events.iter_mut().enumerate().step_by(2) {
        event["data"]["reservationId"] = format!("res_{round}_{n}").into();
    }
}

/// SIGKILL at a random moment under load, twenty times over on one database.
async fn every_answered_event_survives_kills(db: TestDb) {
    let (provider, mut rng) = (nobody_is_looked_up().await, StdRng::seed_from_u64(5));
    let mut promised = Vec::new();
    for round in 0..20 {
        let server = Server::start(&db, &provider.url, &[]).await;
        let mut load = events(50_000, 500, &mut rng);
        tell_apart(&mut load, round);
        let load = Arc::new(load);
        let urls = [server.url.clone()];
        let posting = tokio::spawn({
            let load = Arc::clone(&load);
            async move { post_all(&urls, load, 16).await }
        });
        // The moment is what is random here, so it is a time and not a signal.
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1_500))).await;
        server.kill().await;
        let answers = posting.await.unwrap();
        let answered =
            answers.iter().filter(|(_, answer)| answer.as_ref().is_some_and(|(status, _)| *status == 200));
        promised.extend(answered.map(|(n, _)| load[*n].clone()));
    }
    let app = TestApp::start(&db, &provider).await;
    let rows = store::latest(app.running().db(), &ReservationFilter::default(), 100_000, 0).await.unwrap();
    println!("20 kills, {} events answered, {} rows", promised.len(), rows.len());
    // What was answered is there; something newer that was not answered may be there instead.
    for (id, (event, _)) in fold::folded(&parsed(&promised)) {
        let row = rows.iter().find(|row| row.reservation_id == id).unwrap_or_else(|| panic!("{id} is lost"));
        let (row, event) = (fold::place_of_row(row), fold::place(&event));
        assert!(row >= event, "{id}: {row:?} is older than {event:?}");
    }
    fold::check_log(app.running().db(), &rows).await;
    app.stop().await;
}
