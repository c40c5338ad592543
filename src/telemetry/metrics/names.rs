//! The name of everything that is measured, with its help: base units, counters end in `_total`, and labels have
//! few values, never an identifier.

/// What Prometheus is told of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// How often a value was how large.
    Histogram,
}

/// Declares a constant for each name, and the list of all of them.
macro_rules! names {
    ($($kind:ident $constant:ident $name:literal $help:literal;)+) => {
        $(pub(super) const $constant: &str = $name;)+
        /// All of them.
        pub(super) const ALL: &[(Kind, &str, &str)] = &[$((Kind::$kind, $name, $help)),+];
    };
}

names! {
    Gauge BUILD "besty_build_info" "1; the labels say what runs";
    Gauge ALIVE "besty_alive" "1 while /healthz answers 200";
    Gauge READY "besty_ready" "1 while /readyz answers 200";
    Gauge DATABASE_UP "besty_database_up" "1 if the database answered at this scrape";

    Counter WEBHOOKS "besty_webhooks_total" "Webhooks answered, by result";
    Gauge FAILURES "besty_webhook_failures_in_a_row" "Webhooks answered otherwise than 200 since the last 200";
    Gauge LAST_WEBHOOK "besty_webhook_last_timestamp_seconds" "When the last webhook with a right secret came to this process, 0 for never";
    Histogram INGEST_SECONDS "besty_ingest_seconds" "From the arrival of an event to its answer";
    Histogram BATCH_EVENTS "besty_ingest_batch_events" "Events a transaction of the writer";
    Histogram BATCH_SECONDS "besty_ingest_batch_seconds" "How long the writer took for a batch, commit included";
    Gauge QUEUED "besty_ingest_queue_events" "Events that wait for the writer";

    Gauge SPOOL_IN_USE "besty_spool_in_use" "1 while the database is away or webhooks wait in the spool";
    Gauge SPOOL_WAITING "besty_spool_waiting" "Webhooks in the spool that wait for the database";
    Gauge SPOOL_BYTES "besty_spool_bytes" "Bytes of the events in the spool";
    Gauge SPOOL_MAX "besty_spool_max_bytes" "Bytes the spool may hold (SPOOL_MAX_BYTES)";
    Counter SPOOL_REFUSED "besty_spool_refused_total" "Webhooks the spool could not keep: full or not to be written";
    Counter SPOOL_SET_ASIDE "besty_spool_set_aside_total" "Spool files that were damaged and set aside";

    Gauge LOG_HEAD "besty_feed_log_head" "The newest position in the change log of the database";
    Gauge HUB_HEAD "besty_feed_hub_head" "The newest position this process has read";
    Gauge LAG "besty_feed_lag_changes" "Positions of the log that this process has not read yet";
    Histogram DELIVERY_SECONDS "besty_feed_delivery_seconds" "From the instant of a change, just before its commit, until those who watch were given it";
    Gauge EXECUTIONS "besty_feed_executions" "Executions of subscriptions, each shared by who watches the same";
    Gauge WATCHERS "besty_feed_watchers" "GraphQL operations that are watched";
    Gauge SOCKETS "besty_sockets" "Live connections: WebSockets and event streams, by what they speak";
    Gauge SOCKETS_MAX "besty_sockets_max" "Live connections there may be (MAX_SOCKETS)";
    Gauge CONNECTIONS "besty_connections" "Open TCP connections to this process";
    Gauge CONNECTIONS_MAX "besty_connections_max" "TCP connections there may be (MAX_CONNECTIONS)";
    Counter CONNECTIONS_REFUSED "besty_connections_refused_total" "Connections beyond MAX_CONNECTIONS that were reset, and requests on them that were answered 503";

    Gauge LEASE "besty_sender_lease_held" "1 in the process that calls the Guest API";
    Gauge RATE "besty_guest_api_rate" "Requests a second that may leave at present";
    Gauge ESTIMATE "besty_guest_api_rate_estimate" "Requests a second that the Guest API is believed to take, 0 while unknown";
    Gauge GATE "besty_guest_api_gate_seconds" "How long nothing may be sent yet";
    Gauge IN_FLIGHT "besty_guest_api_in_flight" "Requests to the Guest API under way";
    Counter REQUESTS "besty_guest_api_requests_total" "Requests to the Guest API, by what they were for and what came of them; limited is an answer of 429";
    Histogram REQUEST_SECONDS "besty_guest_api_request_seconds" "How long the Guest API took to answer";

    Counter MESSAGES "besty_broadcast_messages_total" "Tries to send a message of a broadcast, by what became of it";
    Gauge BROADCASTS "besty_broadcasts" "Broadcasts that are not done, by status";
    Gauge QUEUE "besty_broadcast_queue_messages" "Messages without a result in broadcasts that are not done, by status of the broadcast";

    Gauge REGISTRATION_WANTED "besty_registration_wanted" "1 if the webhook URL is to be registered";
    Gauge REGISTERED "besty_registration_registered" "1 if the Guest API's list showed the webhook URL";
    Gauge CHECKED "besty_registration_checked_timestamp_seconds" "When that list was last read, 0 for never";
    Counter GAPS "besty_registration_gaps_total" "Times the Guest API had dropped the webhook URL";

    Gauge POOL_OPEN "besty_pool_connections" "Open connections to the database, by pool and state";
    Gauge POOL_MAX "besty_pool_max_connections" "Connections there may be, by pool";
    Gauge ACQUIRE "besty_pool_acquire_seconds" "How long this scrape waited for a connection to the database";
}
