//! EDGE: HTTP in, HTTP out. No SQL and no decisions live here; every route is in one list.

use std::{ops::Deref, sync::Arc};

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    routing::{get, post},
};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    access::Access,
    graphql::{Schema, Services, live::Live},
    guest_api::Door,
};

mod answer;
mod body;
mod connections;
mod envelope;
mod graphql;
mod guard;
mod health;
mod idle;
mod in_place;
mod line;
mod metrics;
mod origin;
mod pages;
mod reception;
mod request_id;
mod rest;
pub(crate) mod secrets;
mod serve;
mod sockets;
mod stalled;
mod webhooks;

pub use connections::Connections;
use envelope::Envelope;
pub use reception::{Front, Reception};
pub use secrets::Secrets;
pub use serve::serve;
pub use sockets::{Limits, Sockets, Times};
pub use stalled::Listener;

/// What the routes need that need a database; cheap to clone, as is done for every request.
#[derive(Clone)]
pub struct HttpState(Arc<Parts>);

impl HttpState {
    /// Shares the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for HttpState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What the routes need that need a database. For the others see [`Front`].
pub struct Parts {
    /// Reads, the feed, and starting broadcasts.
    pub services: Services,
    /// The schema, with the same services in it.
    pub schema: Schema,
    /// The same, for what is watched.
    pub live: Live,
    /// The way to the Guest API.
    pub door: Door,
    /// Who may do what.
    pub access: Access,
    /// Places for live connections.
    pub sockets: Sockets,
    /// Origins whose pages may call us.
    pub origins: Vec<String>,
    /// Cancelled when the server stops: streams end, and whoever waits for a broadcast is answered.
    pub stopping: CancellationToken,
}

/// Every route.
pub fn router(reception: Reception) -> Router {
    let cors = cors(&reception.origins);
    let envelope = Envelope::new(reception.leaving.clone());
    let routes = Router::new()
        .route("/webhooks", post(webhooks::receive))
        .route("/api/health", get(health::health))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route_layer(middleware::from_fn_with_state(reception.access.clone(), guard::guard))
        .fallback(reception::pass_on)
        .with_state(reception);
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    // The outermost: what answers without asking a route has it too.
    routes.layer(middleware::from_fn_with_state(envelope, envelope::wrap))
}

/// The routes that need a database.
fn behind(state: HttpState) -> Router {
    Router::new()
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/api/reservations", get(rest::reservations::list))
        .route("/api/events", get(rest::events::stream))
        .route("/api/broadcast", post(rest::broadcast::send))
        .route("/api/webhooks/register", post(rest::webhooks::register))
        .merge(pages::routes())
        .route_layer(middleware::from_fn_with_state(state.access.clone(), guard::guard))
        .with_state(state)
}

/// CORS for the origins that were named; without any, browsers keep other origins' pages out.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let headers = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static("last-event-id"),
        HeaderName::from_static("prefer"),
    ];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(headers)
            .expose_headers([header::LOCATION])
    })
}
