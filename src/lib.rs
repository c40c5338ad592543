//! Besty: live reservations and guest messages, between a booking source and the people who look
//! after guests.
//!
//! Data flows one way: edges ([`http`], [`graphql`]) translate, flows ([`reservations`],
//! [`broadcast`]) decide, and under them lie the [`feed`], the door to the provider ([`guest_api`])
//! and the database ([`db`]). `feed` is the only way back up to a client.

pub mod access;
pub mod app;
pub mod audit;
pub mod broadcast;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod feed;
pub mod graphql;
pub mod guest_api;
pub mod http;
pub mod keyset;
pub mod reservations;
pub mod sandbox;
pub mod telemetry;
pub mod vitals;
