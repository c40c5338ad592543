//! The integration tests, one module a promise. Each behaviour is shown on SQLite and on PostgreSQL;
//! `tests/with-postgres` (see `make test`) brings the latter.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it did not expect")]
#![expect(clippy::too_many_lines, reason = "a test tells one story from start to end")]
#![expect(unreachable_pub, reason = "the modules of one test binary share their helpers")]

mod support;

mod access;
mod at_once;
mod audit;
mod automation;
mod broadcast;
mod clients;
mod command_line;
mod commit;
mod connections;
mod contract;
mod control;
mod convergence;
mod corpus;
mod delivery;
mod discretion;
mod existing_table;
mod feed;
mod filter;
mod forget;
mod graphql;
mod guests;
mod https;
mod kill;
mod limits;
mod openid;
mod ops;
mod over_http;
mod pace;
mod paging;
mod password;
mod reads;
mod recent;
mod registration;
mod rejected;
mod replicas;
mod rest;
mod retention;
mod rolling;
mod scale;
mod sight;
mod spool;
mod stalled;
mod start;
mod statements;
mod stop;
mod traces;
mod transports;
mod unhindered;
mod version;
mod versions;
mod watchers;
mod webhooks;
